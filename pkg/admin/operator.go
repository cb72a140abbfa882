package admin

import (
	"context"

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
	// Audit recomputes every counter from the rows.
	Audit(ctx context.Context) (ledger.Audit, error)
	// Owed lists payments that owe money, the oldest first.
	Owed(ctx context.Context, limit int) (ledger.OwedList, error)
	// RecordRefund records money that went back outside of its provider. Codes: invalid_request.
	RecordRefund(ctx context.Context, r checkout.RefundRecord) (checkout.Receipt, error)
	// PaymentProviders lists the providers that have a payment with this id.
	PaymentProviders(ctx context.Context, paymentID string) ([]ledger.PaymentName, error)
	// Orders lists orders, the newest first.
	Orders(ctx context.Context, filter ledger.OrderFilter, limit int) (ledger.OrderList, error)
	// OrderHistory reads everything that is known of an order. Codes: order_not_found.
	OrderHistory(ctx context.Context, id checkout.ID) (ledger.OrderHistory, error)
	// Events lists payment events in a state that needs an operator's look, the oldest first.
	Events(ctx context.Context, state ledger.EventState, limit int) (ledger.EventList, error)
}

// MaxListed limits the entries of one list, because the response of a Lambda function is limited to 6 MB.
const MaxListed = 1000

// Local is an Operator on a database that this process can reach.
type Local struct {
	*ledger.Ledger
	Migration func(ctx context.Context) error
	Stripe    bool // refuse prices that Stripe cannot charge
}

var _ Operator = Local{}

// Migrate implements Operator.
func (l Local) Migrate(ctx context.Context) error { return l.Migration(ctx) }
