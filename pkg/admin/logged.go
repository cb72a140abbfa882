package admin

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Logged is an Operator that writes one line for each change, with the operator who made it: a migration, a product, a
// recorded refund, released holds, cancelled orders, a blocked shopper. A change that was refused changed nothing, and has no line.
type Logged struct {
	Operator
	Logger *slog.Logger
	// Who names the operator of a call; empty if nobody is known.
	Who func(ctx context.Context) string
	// Product reads a product as it is before a change.
	Product func(ctx context.Context, id string) (checkout.Product, error)
}

// The messages of the lines. A change that failed may have taken effect: its response may have been lost.
const (
	changeMade   = "operator action"
	changeFailed = "operator action failed, and may have taken effect"
)

// unknownOperator stands for an operator whom nobody names.
const unknownOperator = "unknown"

// Migrate implements Operator.
func (l Logged) Migrate(ctx context.Context) error {
	err := l.Operator.Migrate(ctx)
	l.log(ctx, err, opMigrate, "database", "")
	return err
}

// PutProduct implements Operator.
func (l Logged) PutProduct(ctx context.Context, change checkout.ProductChange) (checkout.Product, bool, error) {
	before, beforeErr := l.Product(ctx, change.ID)
	p, created, err := l.Operator.PutProduct(ctx, change)
	more := beforeAndAfter(before, beforeErr, p, err)
	if err != nil {
		more = append(more, "change", wanted(change))
	}
	l.log(ctx, err, opPutProduct, "product "+change.ID, "", append([]any{"created", created}, more...)...)
	return p, created, err
}

// EndSale implements Operator.
func (l Logged) EndSale(ctx context.Context, id string) (checkout.Product, bool, error) {
	before, beforeErr := l.Product(ctx, id)
	p, changed, err := l.Operator.EndSale(ctx, id)
	if changed || err != nil {
		l.log(ctx, err, opEndSale, "product "+id, "", beforeAndAfter(before, beforeErr, p, err)...)
	}
	return p, changed, err
}

// HideProduct implements Operator.
func (l Logged) HideProduct(ctx context.Context, id string, hidden bool) (checkout.Product, bool, error) {
	operation := opShowProduct
	if hidden {
		operation = opHideProduct
	}
	before, beforeErr := l.Product(ctx, id)
	p, changed, err := l.Operator.HideProduct(ctx, id, hidden)
	if changed || err != nil {
		l.log(ctx, err, operation, "product "+id, "", beforeAndAfter(before, beforeErr, p, err)...)
	}
	return p, changed, err
}

// DeleteProduct implements Operator.
func (l Logged) DeleteProduct(ctx context.Context, id string) error {
	before, beforeErr := l.Product(ctx, id)
	err := l.Operator.DeleteProduct(ctx, id)
	var more []any
	if beforeErr == nil {
		more = append(more, "before", settings(before))
	}
	l.log(ctx, err, opDeleteProduct, "product "+id, "", more...)
	return err
}

// beforeAndAfter are a product's settings, as far as they could be read.
func beforeAndAfter(before checkout.Product, beforeErr error, after checkout.Product, err error) (more []any) {
	if beforeErr == nil {
		more = append(more, "before", settings(before))
	}
	if err == nil {
		more = append(more, "after", settings(after))
	}
	return more
}

// ReleaseHolds implements Operator.
func (l Logged) ReleaseHolds(ctx context.Context, s Selection) (Ended, error) {
	e, err := l.Operator.ReleaseHolds(ctx, s)
	l.logEnded(ctx, err, opReleaseHolds, "holds", s, e)
	return e, err
}

// CancelOrders implements Operator.
func (l Logged) CancelOrders(ctx context.Context, s Selection) (Ended, error) {
	e, err := l.Operator.CancelOrders(ctx, s)
	l.logEnded(ctx, err, opCancelOrders, "orders", s, e)
	return e, err
}

// logEnded writes the line of at most MaxEnded holds or orders. After a failure, others of the selection may have ended as well.
func (l Logged) logEnded(ctx context.Context, err error, operation, entity string, s Selection, e Ended) {
	if err == nil && len(e.IDs) == 0 {
		return
	}
	more := []any{"count", len(e.IDs), "units", e.Units, "ids", e.IDs}
	if s.Filter != nil || err != nil {
		more = append(more, "selection", s)
	}
	l.log(ctx, err, operation, entity, "", more...)
}

// BlockShopper implements Operator.
func (l Logged) BlockShopper(ctx context.Context, shopper checkout.Shopper) (Block, error) {
	b, err := l.Operator.BlockShopper(ctx, shopper)
	l.log(ctx, err, opBlock, "shopper "+shopper.String(), "", "again", b.Again, "holds", len(b.Holds.IDs), "orders", len(b.Orders.IDs),
		"units", b.Holds.Units+b.Orders.Units, "hold_ids", b.Holds.IDs, "order_ids", b.Orders.IDs)
	return b, err
}

// UnblockShopper implements Operator.
func (l Logged) UnblockShopper(ctx context.Context, shopper checkout.Shopper) (bool, error) {
	changed, err := l.Operator.UnblockShopper(ctx, shopper)
	if changed || err != nil {
		l.log(ctx, err, opUnblock, "shopper "+shopper.String(), "")
	}
	return changed, err
}

// RecordReturn implements Operator.
func (l Logged) RecordReturn(ctx context.Context, r checkout.RefundRecord) (ledger.PaymentRecord, error) {
	p, err := l.Operator.RecordReturn(ctx, r)
	more := []any{"provider", r.Provider, "payment_id", r.PaymentID, "refund_id", r.ID, "amount", r.Amount, "named_operator", r.Operator}
	if err == nil {
		more = append(more, "currency", p.Currency, "order_id", p.OrderID, "returned", p.Returned, "owed", p.Owed)
	}
	l.log(ctx, err, opRecordRefund, "payment "+r.PaymentID, r.Operator, more...)
	return p, err
}

// log writes the line of one change. named is the operator that the change itself names, which counts if nothing else does.
func (l Logged) log(ctx context.Context, err error, operation, entity, named string, more ...any) {
	level, message := slog.LevelInfo, changeMade
	if code := checkout.CodeOf(err); err != nil {
		if code != "" && code != checkout.CodeBusy || errors.Is(err, ledger.ErrNewerSchema) {
			return
		}
		level, message = slog.LevelWarn, changeFailed
		more = append(more, "cause", err.Error())
	}
	who := cmp.Or(l.Who(ctx), named, unknownOperator)
	l.Logger.Log(ctx, level, message, append([]any{"operation", operation, "operator", who, "entity", entity}, more...)...)
}

// settings are what an operator decides of a product, and the version of its row, which also counts holds and orders. With
// it, two lines show whether something else changed in between.
type settings checkout.Product

// LogValue implements slog.LogValuer.
func (p settings) LogValue() slog.Value {
	change := checkout.ProductChange{
		Name: &p.Name, Price: &p.Price, Stock: &p.Stock, MaxQtyPerHold: &p.MaxQtyPerHold,
		MaxPerShopper: &checkout.Limit{Units: p.MaxPerShopper}, Hidden: &p.Hidden,
	}
	return slog.GroupValue(append(given(change), optional("sale_starts_at", p.SaleStartsAt), optional("sale_ends_at", p.SaleEndsAt),
		slog.Int64("version", p.Version))...)
}

// wanted is a change whose outcome is not known.
type wanted checkout.ProductChange

// LogValue implements slog.LogValuer.
func (c wanted) LogValue() slog.Value {
	attrs := given(checkout.ProductChange(c))
	if c.SaleStartsAt != nil {
		attrs = append(attrs, optional("sale_starts_at", c.SaleStartsAt.At))
	}
	if c.SaleEndsAt != nil {
		attrs = append(attrs, optional("sale_ends_at", c.SaleEndsAt.At))
	}
	return slog.GroupValue(attrs...)
}

// given lists the fields that are set, but for the times of the sale.
func given(c checkout.ProductChange) (attrs []slog.Attr) {
	if c.Name != nil {
		attrs = append(attrs, slog.String("name", *c.Name))
	}
	if c.Price != nil {
		attrs = append(attrs, slog.Group("price", "amount", c.Price.Amount, "currency", c.Price.Currency))
	}
	if c.Stock != nil {
		attrs = append(attrs, slog.Int64("stock", *c.Stock))
	}
	if c.MaxQtyPerHold != nil {
		attrs = append(attrs, slog.Int64("max_qty_per_hold", *c.MaxQtyPerHold))
	}
	if c.MaxPerShopper != nil {
		perShopper := slog.String("max_per_shopper", "none")
		if c.MaxPerShopper.Units != nil {
			perShopper = slog.Int64("max_per_shopper", *c.MaxPerShopper.Units)
		}
		attrs = append(attrs, perShopper)
	}
	if c.Hidden != nil {
		attrs = append(attrs, slog.Bool("hidden", *c.Hidden))
	}
	return attrs
}

// optional is a time, or none.
func optional(name string, t *time.Time) slog.Attr {
	if t == nil {
		return slog.String(name, "none")
	}
	return slog.String(name, t.UTC().Format(time.RFC3339))
}
