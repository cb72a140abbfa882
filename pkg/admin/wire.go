package admin

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Operations of the admin function's requests: `{"operation": "audit"}`.
const (
	opMigrate       = "migrate"
	opPutProduct    = "put_product"
	opProducts      = "list_products"
	opOverview      = "overview"
	opAudit         = "audit"
	opOwed          = "list_owed_payments"
	opPayments      = "find_payments"
	opRecordRefund  = "record_refund"
	opOrders        = "list_orders"
	opOrder         = "order_history"
	opEvents        = "list_events"
	opEndSale       = "end_sale"
	opHideProduct   = "hide_product"
	opShowProduct   = "show_product"
	opDeleteProduct = "delete_product"
	opReservations  = "list_reservations"
	opReleaseHolds  = "release_holds"
	opCancelOrders  = "cancel_orders"
	opBlock         = "block_shopper"
	opUnblock       = "unblock_shopper"
	opBlocked       = "list_blocked_shoppers"
	opReceived      = "list_received_events"
)

// operations are all of them.
var operations = []string{
	opMigrate, opPutProduct, opProducts, opOverview, opAudit, opOwed, opPayments, opRecordRefund, opOrders, opOrder, opEvents,
	opEndSale, opHideProduct, opShowProduct, opDeleteProduct, opReservations, opReleaseHolds, opCancelOrders, opBlock, opUnblock, opBlocked, opReceived,
}

// request is the payload of an invocation.
type request struct {
	Operation    string                    `json:"operation"`
	Product      *checkout.ProductChange   `json:"product,omitempty"`      // put_product
	After        string                    `json:"after,omitempty"`        // list_products
	PaymentID    string                    `json:"payment_id,omitempty"`   // find_payments
	Refund       *refund                   `json:"refund,omitempty"`       // record_refund
	Orders       *ledger.OrderFilter       `json:"orders,omitempty"`       // list_orders; none selects all
	OrderID      string                    `json:"order_id,omitempty"`     // order_history
	State        ledger.EventState         `json:"state,omitempty"`        // list_events
	ProductID    string                    `json:"product_id,omitempty"`   // end_sale, hide_product, show_product, delete_product
	Reservations *ledger.ReservationFilter `json:"reservations,omitempty"` // list_reservations; none selects all
	Selection    *Selection                `json:"selection,omitempty"`    // release_holds, cancel_orders
	Shopper      string                    `json:"shopper,omitempty"`      // block_shopper, unblock_shopper
	Mark         *ledger.EventMark         `json:"mark,omitempty"`         // list_received_events; none lists none
	Limit        int                       `json:"limit,omitempty"`        // all lists; 1 to MaxListed (default)
}

// response has the result of the operation, or the reason for its refusal. A list has the number of all its entries.
type response struct {
	Error        *refusal                            `json:"error,omitempty"`
	Product      *product                            `json:"product,omitempty"`
	Created      bool                                `json:"created,omitempty"`
	Products     []product                           `json:"products,omitempty"`
	Overview     *overview                           `json:"overview,omitempty"`
	Audit        *ledger.Audit                       `json:"audit,omitempty"`
	Owed         *ledger.OwedPayments                `json:"owed,omitempty"`
	Payments     []ledger.PaymentRecord              `json:"payments,omitempty"`
	Payment      *ledger.PaymentRecord               `json:"payment,omitempty"`
	Orders       *ledger.List[ledger.ListedOrder]    `json:"orders,omitempty"`
	Order        *ledger.OrderHistory                `json:"order,omitempty"`
	Events       *ledger.List[ledger.ListedEvent]    `json:"events,omitempty"`
	Changed      bool                                `json:"changed,omitempty"`
	Reservations *ledger.Reservations                `json:"reservations,omitempty"`
	Ended        *Ended                              `json:"ended,omitempty"`
	Block        *Block                              `json:"block,omitempty"`
	Blocked      *ledger.List[ledger.BlockedShopper] `json:"blocked,omitempty"`
	Received     *ledger.ReceivedEvents              `json:"received,omitempty"`
}

// refund is a checkout.RefundRecord in JSON.
type refund struct {
	ID        string `json:"id"` // the caller's own, so that a retry records nothing twice
	Provider  string `json:"provider"`
	PaymentID string `json:"payment_id"`
	Amount    int64  `json:"amount"` // minor units of the payment's currency
	Note      string `json:"note"`
	Operator  string `json:"operator,omitempty"`
}

// Limits of a recorded refund, in characters.
const (
	maxNote     = 500
	maxOperator = 255
	maxRefundID = 255
)

// checkReturn refuses a record that the ledger cannot hold.
func checkReturn(r checkout.RefundRecord) error {
	switch {
	case !strings.HasPrefix(r.ID, RecordPrefix) || len(r.ID) <= len(RecordPrefix) || len(r.ID) > maxRefundID:
		return checkout.Invalid("id", fmt.Sprintf("expected an id that starts with %s and has at most %d characters", RecordPrefix, maxRefundID))
	case r.Provider != checkout.ProviderStandard && r.Provider != checkout.ProviderStripe:
		return checkout.Invalid("provider", fmt.Sprintf("expected %s or %s", checkout.ProviderStandard, checkout.ProviderStripe))
	case r.PaymentID == "":
		return checkout.Invalid("payment_id", "expected the id of a payment")
	case r.Amount < 1:
		return checkout.Invalid("amount", "expected more than 0")
	case strings.TrimSpace(r.Note) == "" || utf8.RuneCountInString(r.Note) > maxNote:
		return checkout.Invalid("note", fmt.Sprintf("expected 1 to %d characters", maxNote))
	case utf8.RuneCountInString(r.Operator) > maxOperator:
		return checkout.Invalid("operator", fmt.Sprintf("expected at most %d characters", maxOperator))
	}
	return nil
}

// checkFilter refuses a filter that selects nothing because of a mistake.
func checkFilter(f ledger.OrderFilter) error {
	if f.ProductID != "" && !checkout.ValidProductID(f.ProductID) {
		return checkout.Invalid("product_id", "expected the id of a product")
	}
	if !checkout.ValidReference(f.Reference) {
		return checkout.Invalid("reference", checkout.ReferenceRule)
	}
	switch f.Status {
	case "", checkout.OrderPendingPayment, checkout.OrderPaid, checkout.OrderCancelled, checkout.OrderRefundDue, checkout.OrderRefunded:
		return nil
	}
	return checkout.Invalid("status", "expected the status of an order, such as paid")
}

// RecordPrefix begins the ids of recorded refunds, so that they never collide with a provider's.
const RecordPrefix = "record:"

// refusal is a *checkout.Error in JSON.
type refusal struct {
	Code   checkout.Code `json:"code"`
	Detail string        `json:"detail"`
	Fields []field       `json:"fields,omitempty"`
}

type field struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func refusalOf(e *checkout.Error) *refusal {
	r := &refusal{Code: e.Code, Detail: e.Detail}
	for _, f := range e.Fields {
		r.Fields = append(r.Fields, field(f))
	}
	return r
}

// unknownOperation reports whether the function does not know the operation, or a field that came with it.
func (r *refusal) unknownOperation() bool {
	return r.Code == checkout.CodeInvalidRequest && len(r.Fields) == 1 && r.Fields[0].Field == "operation" ||
		r.Code == checkout.CodeMalformedRequest && strings.Contains(r.Detail, "unknown field")
}

func (r *refusal) err() error {
	e := &checkout.Error{Code: r.Code, Detail: r.Detail}
	for _, f := range r.Fields {
		e.Fields = append(e.Fields, checkout.FieldError(f))
	}
	return e
}
