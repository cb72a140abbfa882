package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// A refund that commits as waiting while a batch locks its holds, one after the other, is found: its payment wakes it.
func TestBatchFindsARefundThatCommitsBetweenTwoLocks(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "p", 100)
	events := held(t, env, "p", 4, nil)
	refund := events[2]
	refund.EventID, refund.PaymentID, refund.RefundID, refund.Type, refund.Kind = "re_1", "", "re_1", "payment.refunded", checkout.PaymentRefunded
	// The batch stops at its first hold, after a read that opens the statement's view of other events.
	paused := pauseRoutine(t, env, "apply_payments", "j.amount = h.qty * h.unit_price", `j.amount = h.qty * h.unit_price AND (j.position <> 1 OR
		GET_LOCK(CONCAT(DATABASE(), 0 * (SELECT COUNT(*) FROM payment_events WHERE subject_id = h.id)), 60) = 1)`)
	pause, err := env.Admin.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer pause.Close() //nolint:errcheck // nothing to do about it
	exec(t, pause, "DO GET_LOCK(CONCAT(DATABASE(), 0), 0)")

	var applied []ledger.Applied
	done := make(chan struct{})
	go func() {
		defer close(done)
		applied = paused.ApplyTogether(context.Background(), "p", events, window)
	}()
	first := fmt.Sprintf("SELECT 1 FROM holds WHERE id = x'%x' FOR UPDATE SKIP LOCKED", events[0].Subject[:])
	for giveUp, one := time.Now().Add(time.Minute), 0; ; time.Sleep(time.Millisecond) {
		if err := env.Admin.QueryRow(first).Scan(&one); errors.Is(err, sql.ErrNoRows) {
			break
		} else if err != nil || time.Now().After(giveUp) {
			t.Fatalf("the batch has not locked its first hold (%v)", err)
		}
	}
	if r, err := env.ApplyEvent(t.Context(), refund, window); err != nil || r.Result != checkout.PaymentUnmatched {
		t.Fatalf("the refund got %s (%v), expected it to wait for its payment", r.Result, err)
	}
	exec(t, pause, "DO RELEASE_LOCK(CONCAT(DATABASE(), 0))")
	<-done
	want := times(4, "shared applied")
	want[2] = "alone applied"
	if got := results(applied); !slices.Equal(got, want) || !applied[2].Receipt.Wakes {
		t.Errorf("the events are %q, and the payment of the refund wakes it: %t; expected %q, and true", got, applied[2].Receipt.Wakes, want)
	}
	env.MustAudit(t)
}

// pauseRoutine changes a part of an installed routine. Only the ledger that it returns may call it.
func pauseRoutine(t *testing.T, env *ledgertest.Env, routine, from, to string) *ledger.Ledger {
	t.Helper()
	name := lines(t, env, "SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE() AND routine_name LIKE CONCAT(?, '\\_%')", routine)[0]
	var create, ignored string
	if err := env.Admin.QueryRow("SHOW CREATE PROCEDURE "+name).Scan(&ignored, &ignored, &create, &ignored, &ignored, &ignored); err != nil {
		t.Fatal(err)
	}
	if strings.Count(create, from) != 1 {
		t.Fatalf("%s has %d times %q, expected it once", name, strings.Count(create, from), from)
	}
	exec(t, env.Admin, "DROP PROCEDURE "+name)
	if _, err := env.Admin.Exec(strings.Replace(create, from, to, 1)); err != nil {
		t.Fatal(err)
	}
	return ledger.New(env.Admin, env.Counts)
}
