package ledger_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// installPrevious replaces the routines by those of the release before, as its own migration does during a rollback.
// testdata/previous has their texts of commit 9f5b1f4.
func installPrevious(t *testing.T, env *ledgertest.Env) {
	t.Helper()
	files, err := filepath.Glob("testdata/previous/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no routines of the release before: %v", err)
	}
	var database string
	if err := env.Admin.QueryRowContext(context.Background(), "SELECT DATABASE()").Scan(&database); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, env.Admin, "DROP PROCEDURE IF EXISTS "+strings.TrimSuffix(filepath.Base(file), ".sql"))
		// The owner made them: on MySQL it could not replace an administrator's.
		exec(t, env.Admin, strings.Replace(string(text), "CREATE PROCEDURE", "CREATE DEFINER=`"+database+"_owner`@`%` PROCEDURE", 1))
	}
}

// A database of the release before, in every state that it knows, becomes right by the migration: each order follows the
// sums of its events, and money that the release before lost sight of is owed. Nothing changes at a second migration.
func TestMigrationTurnsOldEventsIntoPayments(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	installPrevious(t, env)
	previous := func(s *purse, eventID, kind, eventType, payment string, amount any, subject bool) {
		var id []byte
		if subject {
			id = s.id[:]
		}
		exec(t, env.Admin, "CALL apply_payment('standard', ?, ?, ?, ?, ?, ?, 'USD', ?, NULL, 900000000)",
			s.product+eventID, eventType, kind, id, payment, amount, make([]byte, 32))
	}
	type event struct {
		kind, payment string
		amount        any
	}
	cases := []struct {
		name   string
		events []event
		do     func(*purse)
		before string // the release before thought so
		want   string
	}{
		{"pending", nil, nil, "pending_payment", "pending_payment, 0 sold, 0 owed"},
		{"paid", []event{{"succeeded", "A", 1000}}, nil, "paid", "paid, 1 sold, 0 owed"},
		{"paid without a payment id", []event{{"succeeded", "", 1000}}, nil, "paid", "paid, 1 sold, 0 owed"},
		{"paid twice", []event{{"succeeded", "A", 1000}, {"succeeded", "B", 1000}}, nil, "paid", "paid, 1 sold, 1000 owed"},
		{"paid twice without payment ids", []event{{"succeeded", "", 1000}, {"succeeded", "", 1000}}, nil, "paid", "paid, 1 sold, 1000 owed"},
		{"refunded", []event{{"succeeded", "A", 1000}, {"refunded", "A", 1000}}, nil, "refunded", "refunded, 1 sold, 0 owed"},
		{"refunded without an amount", []event{{"succeeded", "A", 1000}, {"refunded", "", nil}}, nil, "refunded", "refunded, 1 sold, 0 owed"},
		{"refunded in part", []event{{"succeeded", "A", 1000}, {"refunded", "A", 300}}, nil, "refunded", "paid, 1 sold, 0 owed"},
		{"refunded by another payment's refund", []event{{"succeeded", "A", 1000}, {"refunded", "B", 1000}}, nil, "refunded", "paid, 1 sold, 0 owed"},
		{"refund before its success", []event{{"refunded", "A", 1000}, {"succeeded", "A", 1000}}, nil, "paid", "refunded, 1 sold, 0 owed"},
		{"wrong amount", []event{{"succeeded", "A", 900}}, nil, "refund_due amount_mismatch", "refund_due amount_mismatch, 0 sold, 900 owed"},
		{"wrong amount, a cent back", []event{{"succeeded", "A", 99999}, {"refunded", "A", 1}}, nil, "refunded amount_mismatch", "refund_due amount_mismatch, 0 sold, 99998 owed"},
		{"failed", []event{{"failed", "A", nil}}, nil, "cancelled payment_failed", "cancelled payment_failed, 0 sold, 0 owed"},
		{"cancelled", nil, func(s *purse) { _, _ = s.CancelOrder(ctx, s.id) }, "cancelled customer", "cancelled customer, 0 sold, 0 owed"},
		{"other", []event{{"other", "A", 1000}}, nil, "pending_payment", "pending_payment, 0 sold, 0 owed"},
	}
	purses := make([]*purse, len(cases))
	for i, c := range cases {
		s := newPurse(t, env, 1, true)
		purses[i] = s
		if c.do != nil {
			c.do(s)
		}
		for n, e := range c.events {
			payment := e.payment
			if payment != "" {
				payment = s.product + payment
			}
			previous(s, fmt.Sprintf("e%d", n), e.kind, "payment."+e.kind, payment, e.amount, true)
		}
		if got, _, _ := strings.Cut(s.standing(t), ","); got != c.before {
			t.Errorf("%s: the release before ends with %s, expected %s", c.name, got, c.before)
		}
	}
	// A refund_due order for want of stock stays one, though there is stock again: a migration sells nothing.
	late := newPurse(t, env, 1, true)
	_, _ = late.CancelOrder(ctx, late.id)
	rival := ledgertest.NewID()
	if _, err := env.PlaceHold(ctx, checkout.HoldRequest{ID: rival, ProductID: late.product, Qty: 1, TTL: ttl}); err != nil {
		t.Fatal(err)
	}
	previous(late, "late", "succeeded", "payment.succeeded", late.product+"A", 1000, true)
	if _, err := env.ReleaseHold(ctx, rival); err != nil {
		t.Fatal(err)
	}

	state := func() (all []string) {
		for i, s := range purses {
			all = append(all, cases[i].name+": "+s.standing(t))
		}
		return append(all, "late: "+late.standing(t))
	}
	want := []string{}
	for _, c := range cases {
		want = append(want, c.name+": "+c.want)
	}
	want = append(want, "late: refund_due late_payment, 0 sold, 1000 owed")
	for range 2 {
		if err := ledger.Migrate(ctx, env.AdminDSN); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, state()); diff != "" {
			t.Fatalf("after the migration (-expected +got):\n%s", diff)
		}
		env.MustAudit(t)
	}

	// A rollback: the release before settles an event, and the next sweep of this release makes it a payment.
	s := newPurse(t, env, 1, true)
	installPrevious(t, env)
	previous(s, "rolled back", "succeeded", "payment.succeeded", s.product+"A", 1000, true)
	if err := ledger.Migrate(ctx, env.AdminDSN); err != nil {
		t.Fatal(err)
	}
	if got := s.standing(t); got != "paid, 1 sold, 0 owed" {
		t.Errorf("after a rollback the order is %s, expected paid by a payment", got)
	}
	env.MustAudit(t)
}

// During a rollback the release before refunds an order and leaves its payment behind. A new payment that arrives before
// the next migration is not lost.
func TestPaymentAfterARollbackIsNotLost(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	s := newPurse(t, env, 1, true)
	s.apply(t, "A 1000")
	exec(t, env.Admin, "UPDATE orders SET status = 'refunded' WHERE id = ?", s.id[:])
	s.apply(t, "B 1000")
	if got := s.standing(t); got != "paid, 1 sold, 1000 owed" {
		t.Errorf("the order is %s, expected paid, with the other payment owed", got)
	}
	env.MustAudit(t)
}
