package admin

import (
	"context"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Operator has the operations of an operator. A refusal is a *checkout.Error.
type Operator interface {
	// Migrate creates or updates the database.
	Migrate(ctx context.Context) error
	// PutProduct creates a product or changes it; created tells which. Codes: invalid_request.
	PutProduct(ctx context.Context, change checkout.ProductChange) (p checkout.Product, created bool, err error)
	// Products lists products by id, starting after the given one.
	Products(ctx context.Context, after string, limit int) ([]checkout.Product, error)
	// Audit recomputes every counter.
	Audit(ctx context.Context) (ledger.Audit, error)
	// RefundsDue lists the orders that need a refund, oldest first.
	RefundsDue(ctx context.Context, limit int) ([]ledger.RefundDue, error)
	// Unmatched lists the payment events without a hold or order, oldest first.
	Unmatched(ctx context.Context, limit int) ([]ledger.UnmatchedEvent, error)
}

// MaxListed is the maximum length of a list: the response of a Lambda function may have 6 MB.
const MaxListed = 1000

// Local is an Operator on a database that this machine can reach.
type Local struct {
	*ledger.Ledger
	Migration func(ctx context.Context) error
}

var _ Operator = Local{}

// Migrate implements Operator.
func (l Local) Migrate(ctx context.Context) error { return l.Migration(ctx) }
