package ledger_test

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// request is a hold of one unit of the product that MustPut makes.
func request(product string) checkout.HoldRequest {
	return checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: product, Qty: 1, TTL: ttl, Price: &checkout.Money{Amount: 4999, Currency: "USD"}}
}

func requests(n int, product string, change func(i int, r *checkout.HoldRequest)) []checkout.HoldRequest {
	all := make([]checkout.HoldRequest, n)
	for i := range all {
		if all[i] = request(product); change != nil {
			change(i, &all[i])
		}
	}
	return all
}

// outcomes names what became of each hold of a batch: "shared", "alone", "replayed", a refusal's code, or refused if the batch's call
// refused it as sold out.
func outcomes(placed []ledger.Placed) []string {
	var names []string
	for _, p := range placed {
		switch {
		case p.Shared && checkout.CodeOf(p.Err) == checkout.CodeSoldOut:
			names = append(names, "refused")
		case p.Err != nil:
			names = append(names, string(checkout.CodeOf(p.Err)))
		case p.Receipt.Repeated:
			names = append(names, "replayed")
		case p.Shared:
			names = append(names, "shared")
		default:
			names = append(names, "alone")
		}
	}
	return names
}

func times(n int, name string) []string { return slices.Repeat([]string{name}, n) }

// A batch is only a faster way to what place_hold does with each of its holds.
func TestBatchOfHolds(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	hour := func(n int) *checkout.Moment {
		at := time.Now().UTC().Add(time.Duration(n) * time.Hour)
		return &checkout.Moment{At: &at}
	}
	three, hidden := int64(3), true
	qty := func(of func(i int) int64) func(int, *checkout.HoldRequest) {
		return func(i int, r *checkout.HoldRequest) { r.Qty = of(i) }
	}
	for name, tc := range map[string]struct {
		product checkout.ProductChange
		request func(i int, r *checkout.HoldRequest)
		want    []string
	}{
		"they fit":   {want: times(8, "shared")},
		"keys":       {request: func(i int, r *checkout.HoldRequest) { r.Key = &checkout.IdempotencyKey{byte(i), 9} }, want: times(8, "shared")},
		"quantities": {request: qty(func(i int) int64 { return int64(1 + i%3) }), want: times(8, "shared")},
		"shoppers":   {request: func(i int, r *checkout.HoldRequest) { r.Shopper = shopper(i % 2) }, want: times(8, "shared")},
		"some fit":   {product: checkout.ProductChange{Stock: &three}, want: append(times(3, "shared"), times(5, "refused")...)},
		"some fit, with keys": { // the last ones have the least keys
			product: checkout.ProductChange{Stock: &three}, want: append(times(3, "shared"), times(5, "refused")...),
			request: func(i int, r *checkout.HoldRequest) { r.Key = &checkout.IdempotencyKey{byte(9 - i), 8} },
		},
		"some fit, a few with keys": {
			product: checkout.ProductChange{Stock: &three}, want: append(times(3, "shared"), times(5, "refused")...),
			request: func(i int, r *checkout.HoldRequest) {
				if i%2 == 0 {
					r.Key = &checkout.IdempotencyKey{byte(9 - i), 7}
				}
			},
		},
		"none fits": {product: checkout.ProductChange{Stock: &three}, request: qty(func(int) int64 { return 4 }), want: times(8, "refused")},
		"a later fits": {
			product: checkout.ProductChange{Stock: &three}, request: qty(func(i int) int64 { return []int64{1, 3, 1, 3, 1, 1, 1, 1}[i] }),
			want: []string{"shared", "refused", "alone", "refused", "alone", "sold_out", "sold_out", "sold_out"},
		},
		"price":           {product: checkout.ProductChange{Price: &checkout.Money{Amount: 5000, Currency: "USD"}}, want: times(8, "alone")},
		"currency":        {product: checkout.ProductChange{Price: &checkout.Money{Amount: 4999, Currency: "EUR"}}, want: times(8, "alone")},
		"limit of a hold": {product: checkout.ProductChange{MaxQtyPerHold: &three}, request: qty(func(i int) int64 { return int64(1 + i) }), want: append(times(3, "alone"), times(5, "qty_over_limit")...)},
		"before the sale": {product: checkout.ProductChange{SaleStartsAt: hour(1)}, want: times(8, "sale_not_started")},
		"in the sale":     {product: checkout.ProductChange{SaleStartsAt: hour(-1), SaleEndsAt: hour(1)}, want: times(8, "shared")},
		"after the sale":  {product: checkout.ProductChange{SaleEndsAt: hour(-1)}, want: times(8, "sale_ended")},
		"hidden":          {product: checkout.ProductChange{Hidden: &hidden}, want: times(8, "product_not_found")},
		"a new limit":     {product: checkout.ProductChange{MaxPerShopper: &checkout.Limit{Units: &three}}, want: times(8, "unauthenticated")},
		"an id twice": {request: func(i int, r *checkout.HoldRequest) {
			if i == 1 {
				r.ID = checkout.ID{1, 2, 3}
			}
			if i == 2 {
				r.ID = checkout.ID{1, 2, 3}
			}
		}, want: times(8, "alone")},
	} {
		tc.product.ID = strings.ReplaceAll(name, " ", "-")
		env.MustPut(t, tc.product.ID, 100)
		if _, _, err := env.PutProduct(t.Context(), tc.product); err != nil {
			t.Fatal(err)
		}
		batch := requests(8, tc.product.ID, tc.request)
		placed := env.PlaceTogether(t.Context(), batch)
		if got := outcomes(placed); !slices.Equal(got, tc.want) {
			t.Errorf("%s: the holds are %v, expected %v", name, got, tc.want)
		}
		for i, p := range placed {
			stored, err := env.Hold(t.Context(), checkout.Caller{Shopper: batch[i].Shopper}, batch[i].ID)
			if p.Err != nil {
				if err == nil {
					t.Errorf("%s: the refused hold %d is stored: %+v", name, i, stored)
				}
			} else if diff := cmp.Diff(stored, *p.Receipt.Hold); err != nil || diff != "" || p.Receipt.Product == nil {
				t.Errorf("%s: the receipt of hold %d differs from the stored one (%v):\n%s", name, i, err, diff)
			}
		}
	}
	env.MustAudit(t)
}

// A batch that does not fit refuses nobody while units of overdue holds or orders can be reclaimed: place_hold reclaims them.
func TestBatchLeavesOverdueUnitsToPlaceHold(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	for name, order := range map[string]bool{"hold": false, "order": true} {
		env.MustPut(t, name, 3)
		held := request(name)
		held.Qty = 2
		if _, err := env.PlaceHold(t.Context(), held); err != nil {
			t.Fatal(err)
		}
		if order {
			if _, err := env.CreateOrder(t.Context(), checkout.Caller{}, held.ID, checkout.OrderTerms{Window: ttl}); err != nil {
				t.Fatal(err)
			}
		}
		placed := env.PlaceTogether(t.Context(), requests(3, name, nil))
		if got, want := outcomes(placed), []string{"shared", "refused", "refused"}; !slices.Equal(got, want) {
			t.Errorf("%s, not due: the holds are %v, expected %v", name, got, want)
		}
		exec(t, env.Admin, "UPDATE holds SET created_at = created_at - INTERVAL 10 MINUTE, expires_at = expires_at - INTERVAL 10 MINUTE WHERE id = ?", held.ID[:])
		exec(t, env.Admin, "UPDATE orders SET pay_by = UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE WHERE id = ?", held.ID[:])
		placed = env.PlaceTogether(t.Context(), requests(3, name, nil))
		if got, want := outcomes(placed), []string{"alone", "alone", "sold_out"}; !slices.Equal(got, want) {
			t.Errorf("%s, due: the holds are %v, expected %v", name, got, want)
		}
	}
	env.MustAudit(t)
}

// A used key, a blocked shopper or a repeated one does not keep the others of a batch from sharing the call.
func TestBatchLeavesApartWhatNeedsALook(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 2)
	s.mustPlace(t, shopper(1), 1)
	s.mustPlace(t, shopper(2), 2)
	if err := s.BlockShopper(t.Context(), shopper(3), true, "test"); err != nil {
		t.Fatal(err)
	}
	key := checkout.IdempotencyKey{1}
	keyed := request(s.product)
	keyed.Shopper, keyed.MaxPerShopper, keyed.Key = shopper(4), &s.limit, &key
	if _, err := s.PlaceHold(t.Context(), keyed); err != nil {
		t.Fatal(err)
	}
	placed := s.PlaceTogether(t.Context(), requests(8, s.product, func(i int, r *checkout.HoldRequest) {
		r.Shopper, r.MaxPerShopper = shopper(i), &s.limit
		if i == 4 {
			r.Key = &key
		}
		if i == 6 {
			r.Qty = 2
		}
	}))
	want := []string{"shared", "alone", "shopper_limit", "shopper_limit", "replayed", "shared", "shared", "shared"}
	if got := outcomes(placed); !slices.Equal(got, want) {
		t.Errorf("the holds are %v, expected %v", got, want)
	}
	s.refused(t, shopper(0), 2, 2, 1)
	s.refused(t, shopper(6), 1, 2, 2)
	s.MustAudit(t)
}

// A product that is deleted while holds of it wait is no failure of the call.
func TestBatchOfADeletedProduct(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	placed := env.PlaceTogether(t.Context(), requests(3, "deleted", nil))
	if got, want := outcomes(placed), times(3, "product_not_found"); !slices.Equal(got, want) {
		t.Errorf("the holds are %v, expected %v", got, want)
	}
	if n := calls(env, "place_holds/single"); n != 1 {
		t.Errorf("%v calls had the outcome single, expected 1", n)
	}
}

// Where the limit came after the first holds, a shopper without a row may have units.
func TestBatchUnderALateLimit(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 2)
	s.setLimit(t, nil)
	early := request(s.product)
	early.Shopper = shopper(0)
	early.Qty = 2
	if _, err := s.PlaceHold(t.Context(), early); err != nil {
		t.Fatal(err)
	}
	two := int64(2)
	s.setLimit(t, &two)
	placed := s.PlaceTogether(t.Context(), requests(3, s.product, func(i int, r *checkout.HoldRequest) {
		r.Shopper, r.MaxPerShopper = shopper(i), &s.limit
	}))
	if got, want := outcomes(placed), []string{"shopper_limit", "alone", "alone"}; !slices.Equal(got, want) {
		t.Errorf("the holds are %v, expected %v", got, want)
	}
	var locked int
	second := shopper(1)
	if err := s.Admin.QueryRow("SELECT locked FROM shopper_products WHERE shopper = UNHEX(?)", hex.EncodeToString(second[:])).Scan(&locked); err != nil || locked != 0 {
		t.Errorf("a shopper's row was there %d times before its hold (%v), expected that the batch writes nothing", locked, err)
	}
	s.MustAudit(t)
}
