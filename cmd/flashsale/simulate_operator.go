package main

import (
	"context"
	"fmt"
	"time"

	"flashsale/internal/simulator"
	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
)

// saleOperator implements simulator.Operator.
type saleOperator struct {
	admin.Operator
	product string // that it has put on sale
}

// PutOnSale implements simulator.Operator.
func (o *saleOperator) PutOnSale(ctx context.Context, offer simulator.Offer) error {
	_, created, err := o.PutProduct(ctx, checkout.ProductChange{
		ID: offer.ID, Name: &offer.Name, Price: &checkout.Money{Amount: offer.Price, Currency: offer.Currency},
		Stock: &offer.Stock, MaxQtyPerHold: &offer.MaxQtyPerHold, MaxPerShopper: &checkout.Limit{Units: offer.MaxPerShopper},
	})
	if err == nil && !created {
		return fmt.Errorf("the product %s already exists", offer.ID)
	}
	o.product = offer.ID // also after an error, which may have come after the change
	return err
}

// withdrawPatience limits the work after a sale, which an interrupt does not end.
const withdrawPatience = 30 * time.Second

// withdraw ends the sale of the product and hides it, so that no shopper sees it any more.
func (o *saleOperator) withdraw(ctx context.Context) error {
	if o.product == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawPatience)
	defer cancel()
	_, _, err := o.EndSale(ctx, o.product)
	if err == nil {
		_, _, err = o.HideProduct(ctx, o.product, true)
	}
	if err != nil && checkout.CodeOf(err) != checkout.CodeProductNotFound {
		return fmt.Errorf("ending the sale of %s: %w", o.product, err)
	}
	return nil
}

// Audit implements simulator.Operator.
func (o *saleOperator) Audit(ctx context.Context) ([]simulator.Finding, error) {
	audit, err := o.Operator.Audit(ctx)
	if err != nil {
		return nil, err
	}
	findings := make([]simulator.Finding, len(audit.Broken))
	for i, f := range audit.Broken {
		findings[i] = simulator.Finding(f)
	}
	return findings, nil
}

// Owed implements simulator.Operator.
func (o *saleOperator) Owed(ctx context.Context) (map[string]int64, error) {
	list, err := o.Operator.Owed(ctx, admin.MaxListed)
	if err != nil || list.Total > int64(len(list.Entries)) {
		return nil, err
	}
	owed := map[string]int64{}
	for _, p := range list.Entries {
		owed[p.OrderID] += p.Owed.Amount
	}
	return owed, nil
}
