package admin

import (
	"context"
	"errors"
	"fmt"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Operator lists the operations. A refusal is a *checkout.Error.
type Operator interface {
	// Migrate creates or updates the database.
	Migrate(ctx context.Context) error
	// PutProduct puts a product on sale (created is true) or changes it. Codes: invalid_request.
	PutProduct(ctx context.Context, change checkout.ProductChange) (p checkout.Product, created bool, err error)
	// Products lists at most limit products by id, beginning after the given id.
	Products(ctx context.Context, after string, limit int) ([]checkout.Product, error)
	// EndSale ends a product's sale now, by the database's clock. Existing holds and orders continue. changed is false if the sale
	// had ended before. Codes: product_not_found, invalid_request.
	EndSale(ctx context.Context, id string) (p checkout.Product, changed bool, err error)
	// HideProduct hides a product from shoppers, or shows it. changed is false if it was so before. Codes: product_not_found.
	HideProduct(ctx context.Context, id string, hidden bool) (p checkout.Product, changed bool, err error)
	// DeleteProduct deletes a product that has no holds and no orders. Codes: product_not_found, invalid_request.
	DeleteProduct(ctx context.Context, id string) error
	// Reservations lists active holds and unpaid orders, oldest first. Codes: invalid_request.
	Reservations(ctx context.Context, f ledger.ReservationFilter, limit int) (ledger.Reservations, error)
	// ReleaseHolds releases active holds: those with the ids, or the oldest MaxEnded that the filter selects. After a failure it
	// returns what it has released so far. Codes: invalid_request.
	ReleaseHolds(ctx context.Context, s Selection) (Ended, error)
	// CancelOrders cancels unpaid orders, as ReleaseHolds does with holds.
	CancelOrders(ctx context.Context, s Selection) (Ended, error)
	// BlockShopper keeps a shopper from placing holds, then releases the shopper's holds and cancels the unpaid orders, at most
	// MaxEnded of each. A second call is harmless and continues. Codes: invalid_request.
	BlockShopper(ctx context.Context, shopper checkout.Shopper) (Block, error)
	// UnblockShopper lets a shopper place holds again. changed is false if the shopper was not blocked.
	UnblockShopper(ctx context.Context, shopper checkout.Shopper) (changed bool, err error)
	// BlockedShoppers lists the blocked shoppers, the latest block first.
	BlockedShoppers(ctx context.Context, limit int) (ledger.List[ledger.BlockedShopper], error)
	// Overview reads what an operator watches during a sale. It changes nothing.
	Overview(ctx context.Context) (ledger.Overview, error)
	// Audit recomputes every counter from the rows.
	Audit(ctx context.Context) (ledger.Audit, error)
	// Owed lists the payments that owe money, oldest first.
	Owed(ctx context.Context, limit int) (ledger.OwedPayments, error)
	// Payments reads the payments with an id, at most one per provider.
	Payments(ctx context.Context, paymentID string) ([]ledger.PaymentRecord, error)
	// RecordReturn records money that went back outside of its provider. It returns the payment afterwards. Codes:
	// invalid_request.
	RecordReturn(ctx context.Context, r checkout.RefundRecord) (ledger.PaymentRecord, error)
	// Orders lists the orders that the filter selects, newest first.
	Orders(ctx context.Context, f ledger.OrderFilter, limit int) (ledger.List[ledger.ListedOrder], error)
	// OrderHistory reads all that the ledger knows of one order. Codes: order_not_found.
	OrderHistory(ctx context.Context, id checkout.ID) (ledger.OrderHistory, error)
	// Events lists the events in a state, newest first. Codes: invalid_request.
	Events(ctx context.Context, state ledger.EventState, limit int) (ledger.List[ledger.ListedEvent], error)
	// ReceivedEvents lists the stored events after a place, the first received first. Without a place it only says the time.
	ReceivedEvents(ctx context.Context, after *ledger.EventMark, limit int) (ledger.ReceivedEvents, error)
}

// MaxListed limits the entries of one list, because the response of a Lambda function is limited to 6 MB.
const MaxListed = 1000

// Local is an Operator on a database that this process can reach.
type Local struct {
	*ledger.Ledger
	Migration func(ctx context.Context) error
	Stripe    bool                             // refuse prices that Stripe cannot charge
	Who       func(ctx context.Context) string // names the operator, who is stored with a block
}

var _ Operator = Local{}

// Audit implements Operator. It records the audit, unless the database lacks the routine for it, which the audit reports.
func (l Local) Audit(ctx context.Context) (ledger.Audit, error) {
	audit, err := l.Ledger.Audit(ctx)
	if err != nil {
		return audit, err
	}
	if err := l.RecordAudit(ctx, audit); err != nil && !errors.Is(err, ledger.ErrNotMigrated) {
		return audit, err
	}
	return audit, nil
}

// Migrate implements Operator.
func (l Local) Migrate(ctx context.Context) error { return l.Migration(ctx) }

// RecordReturn implements Operator.
func (l Local) RecordReturn(ctx context.Context, r checkout.RefundRecord) (ledger.PaymentRecord, error) {
	if err := checkReturn(r); err != nil {
		return ledger.PaymentRecord{}, err
	}
	receipt, err := l.RecordRefund(ctx, r)
	if err != nil {
		return ledger.PaymentRecord{}, err
	}
	if receipt.Repeated {
		before, err := l.Refund(ctx, r.Provider, r.ID)
		if err != nil {
			return ledger.PaymentRecord{}, err
		}
		if before.PaymentID != r.PaymentID || before.Amount == nil || before.Amount.Amount != r.Amount {
			return ledger.PaymentRecord{}, checkout.Invalid("id", "expected a new id: this one recorded another payment or amount")
		}
	}
	payments, err := l.Payments(ctx, r.PaymentID)
	for _, p := range payments {
		if p.Provider == r.Provider {
			return p, err
		}
	}
	if err == nil {
		err = fmt.Errorf("reading payment %s of %s: not found after the record", r.PaymentID, r.Provider)
	}
	return ledger.PaymentRecord{}, err
}
