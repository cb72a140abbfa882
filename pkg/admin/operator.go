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
	// RefundsDue lists orders to refund, the oldest first.
	RefundsDue(ctx context.Context, limit int) ([]ledger.RefundDue, error)
	// Unmatched lists payment events without a hold or order, the oldest first.
	Unmatched(ctx context.Context, limit int) ([]ledger.UnmatchedEvent, error)
}

// MaxListed limits the entries of one list, because the response of a Lambda function is limited to 6 MB.
const MaxListed = 1000

// Local is an Operator on a database that this process can reach.
type Local struct {
	*ledger.Ledger
	Migration func(ctx context.Context) error
}

var _ Operator = Local{}

// Migrate implements Operator.
func (l Local) Migrate(ctx context.Context) error { return l.Migration(ctx) }
