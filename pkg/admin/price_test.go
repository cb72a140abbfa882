package admin_test

import (
	"context"
	"errors"
	"testing"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// A price that passes reaches the ledger, where the cancelled context ends the call.
func TestPricesAreCheckedBeforeTheLedger(t *testing.T) {
	t.Parallel()
	l, err := ledger.Open("nobody@tcp(127.0.0.1:1)/flashsale", checkout.NoRecorder{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		price  *checkout.Money
		stripe bool
		field  string // refused; empty: the ledger decides
	}{
		{nil, true, ""},
		{&checkout.Money{Amount: 999, Currency: "USD"}, true, ""},
		{&checkout.Money{Amount: 1234, Currency: "KWD"}, false, ""},
		{&checkout.Money{Amount: 1230, Currency: "KWD"}, true, ""},
		{&checkout.Money{Amount: 1234, Currency: "KWD"}, true, "price"},
		{&checkout.Money{Amount: 999, Currency: "ABC"}, false, "currency"},
		{&checkout.Money{Amount: 999, Currency: "XAU"}, true, "currency"},
	} {
		op := admin.Local{Ledger: l, Stripe: c.stripe}
		_, _, err := op.PutProduct(cancelled, checkout.ProductChange{ID: "lamp", Price: c.price})
		field := ""
		var refusal *checkout.Error
		if errors.As(err, &refusal) && refusal.Code == checkout.CodeInvalidRequest {
			field = refusal.Fields[0].Field
		}
		if err == nil || field != c.field {
			t.Errorf("%+v with Stripe %t: got %v, expected the refused field %q", c.price, c.stripe, err, c.field)
		}
	}
}
