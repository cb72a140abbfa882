package ledger_test

import (
	"testing"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

// The audit sums what each shopper has, and finds units that were taken over the limit.
func TestAuditRecountsShoppers(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 2)
	me := shopper(1)
	first := s.mustPlace(t, me, 2)
	second, err := s.place(t.Context(), s.Ledger, shopper(2), 1)
	if err != nil {
		t.Fatal(err)
	}
	s.MustAudit(t)
	exec(t, s.Admin, "UPDATE holds SET shopper = ? WHERE id = ?", me[:], second[:])
	found, err := s.Audit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range found.Broken {
		names[f.Check] = true
	}
	if !names["shopper_over_limit"] || !names["hold_facts_differ"] {
		t.Errorf("after a hold of another shopper was moved to %s the audit found %v", first.HoldID(), found.Broken)
	}
}

// The audit finds units over the limit also if the shopper has another unit from before the limit.
func TestAuditFindsUnitsOverTheLimitBesideAnUnlimitedOne(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 2)
	me := shopper(1)
	s.setLimit(t, nil)
	if _, err := s.PlaceHold(t.Context(), checkout.HoldRequest{
		ID: ledgertest.NewID(), Shopper: me, ProductID: s.product, Qty: 1, TTL: ttl, Price: &checkout.Money{Amount: 4999, Currency: "USD"},
	}); err != nil {
		t.Fatal(err)
	}
	two := int64(2)
	s.setLimit(t, &two)
	s.mustPlace(t, me, 1)
	// What a place_hold that forgot the limit would write: 9 more units of the same shopper, each under a limit of 2.
	for range 9 {
		s.give(t, me, s.mustPlace(t, shopper(2), 1))
	}
	found, err := s.Audit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Broken) == 0 {
		t.Error("a shopper has 11 units of a product, 10 of them taken under a limit of 2, and the audit is clean")
	}
}

// give makes a hold another shopper's, with its checksums, as a place_hold that forgot the limit would have written it.
func (s *shop) give(t *testing.T, who checkout.Shopper, id checkout.ID) {
	t.Helper()
	exec(t, s.Admin, "UPDATE products SET holds_sum = holds_sum - (SELECT facts FROM holds WHERE id = ?) WHERE id = ?", id[:], s.product)
	exec(t, s.Admin, "UPDATE holds SET shopper = ? WHERE id = ?", who[:], id[:])
	exec(t, s.Admin, `UPDATE holds SET facts = CRC32(CONCAT_WS('|', HEX(id), product_id, qty, unit_price, currency, HEX(idempotency_key),
		TIMESTAMPDIFF(MICROSECOND, created_at, expires_at), HEX(shopper))) WHERE id = ?`, id[:])
	exec(t, s.Admin, "UPDATE products SET holds_sum = holds_sum + (SELECT facts FROM holds WHERE id = ?) WHERE id = ?", id[:], s.product)
}

// The audit of each minute sums what a shopper has in all, not only the holds that are new.
func TestAuditOfChangesSumsAllOfAShoppersUnits(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 2)
	me := shopper(1)
	first := s.mustPlace(t, me, 2)
	s.order(t, me, first)
	moveMarks(t, s.Env) // as if it were older than the audit's margin
	s.give(t, me, s.mustPlace(t, shopper(2), 2))
	full, err := s.Audit(t.Context())
	if err != nil || len(full.Broken) == 0 {
		t.Fatalf("the full audit found %v (%v)", full.Broken, err)
	}
	changes, err := s.AuditChanges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(changes.Broken) == 0 {
		t.Errorf("the full audit found %v, and the audit of the changes found nothing", full.Broken)
	}
}
