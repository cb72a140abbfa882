package admin

import (
	"context"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Operator is what an operator can do. Refusals are a *checkout.Error.
type Operator interface {
	// Migrate brings the database up to date.
	Migrate(ctx context.Context) error
	// PutProduct puts a product on sale or changes it; created tells which. Codes: invalid_request.
	PutProduct(ctx context.Context, change checkout.ProductChange) (p checkout.Product, created bool, err error)
	// Products lists products by id, beginning after the given one.
	Products(ctx context.Context, after string, limit int) ([]checkout.Product, error)
	// Audit recomputes everything.
	Audit(ctx context.Context) (ledger.Audit, error)
	// RefundsDue lists orders whose money has to go back, the oldest first.
	RefundsDue(ctx context.Context, limit int) ([]ledger.RefundDue, error)
	// Unmatched lists payment events that name no hold or order, the oldest first.
	Unmatched(ctx context.Context, limit int) ([]ledger.UnmatchedEvent, error)
}

// MaxListed is how many entries one call lists at most: the answer of a Lambda function may have 6 MB.
const MaxListed = 1000

// Local is an Operator on a database that can be reached from here.
type Local struct {
	*ledger.Ledger
	Migration func(ctx context.Context) error
}

var _ Operator = Local{}

// Migrate implements Operator.
func (l Local) Migrate(ctx context.Context) error { return l.Migration(ctx) }
