package admin

import (
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Operations of the admin function's requests: `{"operation": "audit"}`.
const (
	opMigrate    = "migrate"
	opPutProduct = "put_product"
	opProducts   = "list_products"
	opAudit      = "audit"
	opOwed       = "list_owed_payments"
	opRecord     = "record_refund"
	opProviders  = "list_payment_providers"
	opOrders     = "list_orders"
	opHistory    = "order_history"
	opEvents     = "list_events"
)

var operations = []string{opMigrate, opPutProduct, opProducts, opAudit, opOwed, opRecord, opProviders, opOrders, opHistory, opEvents}

// request is the payload of an invocation.
type request struct {
	Operation string                  `json:"operation"`
	Product   *checkout.ProductChange `json:"product,omitempty"` // put_product
	After     string                  `json:"after,omitempty"`   // list_products
	Limit     int                     `json:"limit,omitempty"`   // all lists; 1 to MaxListed (default)
	Refund    *checkout.RefundRecord  `json:"refund,omitempty"`  // record_refund
	PaymentID string                  `json:"payment_id,omitempty"`
	Orders    *ledger.OrderFilter     `json:"orders,omitempty"`   // list_orders
	OrderID   string                  `json:"order_id,omitempty"` // order_history
	State     ledger.EventState       `json:"state,omitempty"`    // list_events
}

// response has the result of the operation, or the reason for its refusal.
type response struct {
	Error     *refusal             `json:"error,omitempty"`
	Product   *product             `json:"product,omitempty"`
	Created   bool                 `json:"created,omitempty"`
	Products  []product            `json:"products,omitempty"`
	Audit     *ledger.Audit        `json:"audit,omitempty"`
	Owed      *ledger.OwedList     `json:"owed,omitempty"`
	Recorded  bool                 `json:"recorded,omitempty"` // false: it was recorded before
	Providers []ledger.PaymentName `json:"providers,omitempty"`
	Orders    *ledger.OrderList    `json:"orders,omitempty"`
	History   *ledger.OrderHistory `json:"history,omitempty"`
	Events    *ledger.EventList    `json:"events,omitempty"`
}

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

func (r *refusal) err() error {
	e := &checkout.Error{Code: r.Code, Detail: r.Detail}
	for _, f := range r.Fields {
		e.Fields = append(e.Fields, checkout.FieldError(f))
	}
	return e
}
