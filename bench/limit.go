package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// The shoppers of the experiment. Cases differ only in sign-in and the product's limit.
const (
	anonymously = "anonymous"
	signedIn    = "signed in, no limit"
	newShoppers = "limit, each hold by a new shopper"
	oldShoppers = "limit, 100 shoppers with many holds"
)

var limitShoppers = []string{anonymously, signedIn, newShoppers, oldShoppers}

// limitCase names a case, such as "64 callers: anonymous".
func limitCase(callers int, shoppers string) string {
	return fmt.Sprintf("%d callers: %s", callers, shoppers)
}

// runLimit measures what a limit per shopper costs: holds of one product through the ledger alone.
func runLimit(ctx context.Context, t *trial) error {
	var cases []func(context.Context) error
	callers := []int{16, 64}
	for _, n := range callers {
		for _, shoppers := range limitShoppers {
			cases = append(cases, t.onSchema(func(ctx context.Context, s *site) error { return s.runLimited(ctx, n, shoppers) }))
		}
	}
	return t.alternate(ctx, func() {
		for _, n := range callers {
			for _, shoppers := range limitShoppers[1:] {
				share := t.last(limitCase(n, shoppers), "calls/s") / t.last(limitCase(n, anonymously), "calls/s")
				t.add(limitCase(n, shoppers), "share of the anonymous rate, %", 100*share)
				if shoppers != signedIn {
					share = t.last(limitCase(n, shoppers), "calls/s") / t.last(limitCase(n, signedIn), "calls/s")
					t.add(limitCase(n, shoppers), "share of the signed-in rate, %", 100*share)
				}
			}
		}
	}, cases...)
}

// runLimited measures one case.
func (s *site) runLimited(ctx context.Context, callers int, shoppers string) (err error) {
	l, err := ledger.Open(s.appDSN, nothing{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	var limit *int64
	if shoppers == newShoppers || shoppers == oldShoppers {
		limit = new(int64(checkout.MaxStock)) // never reached: the sum is what costs
	}
	if _, _, err := s.ledger.PutProduct(ctx, checkout.ProductChange{ID: s.onSale, MaxPerShopper: &checkout.Limit{Units: limit}}); err != nil {
		return err
	}
	var n atomic.Int64
	shopper := map[string]func() checkout.Shopper{
		anonymously: func() checkout.Shopper { return checkout.Shopper{} },
		oldShoppers: func() checkout.Shopper { return checkout.ShopperOf("bench", strconv.Itoa(rand.IntN(100))) }, //nolint:gosec // G404: any of them
	}[shoppers]
	if shopper == nil {
		shopper = func() checkout.Shopper { return checkout.ShopperOf("bench", strconv.FormatInt(n.Add(1), 10)) }
	}
	return s.measured(limitCase(callers, shoppers), callers, func(ctx context.Context) error {
		_, err := l.PlaceHold(ctx, checkout.HoldRequest{
			ID: newID(), Shopper: shopper(), ProductID: s.onSale, Qty: 1, TTL: 2 * time.Minute, Price: price(), MaxPerShopper: limit,
		})
		return err
	})(ctx)
}
