package admin

import (
	"context"

	"flashsale/pkg/checkout"
	"flashsale/pkg/money"
	"flashsale/pkg/payments"
)

// PutProduct implements Operator. The ledger knows no list of currencies, so prices are checked here.
func (l Local) PutProduct(ctx context.Context, change checkout.ProductChange) (p checkout.Product, created bool, err error) {
	if err := l.checkPrice(change.Price); err != nil {
		return p, false, err
	}
	return l.Ledger.PutProduct(ctx, change)
}

func (l Local) checkPrice(price *checkout.Money) error {
	if price == nil {
		return nil
	}
	if _, known := money.Decimals(price.Currency); !known {
		return checkout.Invalid("currency", "expected ISO 4217 such as USD")
	}
	if l.Stripe {
		return payments.CheckStripePrice(*price)
	}
	return nil
}
