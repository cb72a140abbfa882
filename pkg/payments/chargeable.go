package payments

import (
	"flashsale/pkg/checkout"
	"flashsale/pkg/money"
)

// stripeInTens are the currencies with three decimals in which Stripe charges amounts with a last digit 0 only.
// https://docs.stripe.com/currencies (three-decimal currencies)
var stripeInTens = map[string]bool{"BHD": true, "JOD": true, "KWD": true, "OMR": true, "TND": true}

// CheckStripePrice refuses a price that Stripe cannot charge, because Stripe has no such fraction of the currency. The
// refusal is a *checkout.Error.
func CheckStripePrice(price checkout.Money) error {
	step := int64(1)
	if stripeInTens[price.Currency] {
		step = 10
	}
	if written, special := stripeDecimals[price.Currency]; special {
		decimals, _ := money.Decimals(price.Currency)
		for ; written < decimals; written++ {
			step *= 10
		}
	}
	if price.Amount%step != 0 {
		return checkout.Invalid("price", "expected a multiple of "+money.Format(checkout.Money{Amount: step, Currency: price.Currency})+
			", because Stripe cannot charge smaller fractions")
	}
	return nil
}
