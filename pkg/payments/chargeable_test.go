package payments_test

import (
	"errors"
	"strings"
	"testing"

	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

func TestPricesThatStripeCannotChargeAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		currency         string
		charged, refused int64  // refused 0: Stripe can charge every amount
		step             string // in the refusal
	}{
		{"BHD", 1230, 1234, "0.010 BHD"},
		{"JOD", 10, 1, "0.010 JOD"},
		{"KWD", 0, 5, "0.010 KWD"},
		{"OMR", 990, 999, "0.010 OMR"},
		{"TND", 1000, 1001, "0.010 TND"},
		{"MGA", 500, 550, "1.00 MGA"},
		{"USD", 999, 0, ""},
		{"JPY", 1, 0, ""},
		{"ISK", 5001, 0, ""},
		{"UGX", 5001, 0, ""},
	} {
		if err := payments.CheckStripePrice(checkout.Money{Amount: c.charged, Currency: c.currency}); err != nil {
			t.Errorf("%d %s is refused, expected it to be charged: %v", c.charged, c.currency, err)
		}
		if c.refused == 0 {
			continue
		}
		var refusal *checkout.Error
		err := payments.CheckStripePrice(checkout.Money{Amount: c.refused, Currency: c.currency})
		if !errors.As(err, &refusal) || refusal.Code != checkout.CodeInvalidRequest || refusal.Fields[0].Field != "price" ||
			!strings.Contains(refusal.Fields[0].Detail, c.step) {
			t.Errorf("%d %s: got %v, expected a refusal of the price that names %s", c.refused, c.currency, err, c.step)
		}
	}
}
