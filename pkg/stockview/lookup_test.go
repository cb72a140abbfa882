package stockview_test

import (
	"context"
	"testing"
	"time"
)

func TestLookupReportsHitOrMiss(t *testing.T) {
	s := newSource()
	v := newView(t, s)
	find := func() bool {
		found, err := v.Lookup(context.Background(), s.product.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		return found.FromLedger
	}
	if !find() {
		t.Error("the first lookup returned FromLedger false, expected true: there is no entry yet")
	}
	for deadline := time.Now().Add(10 * time.Second); find(); { // a busy machine may make single cache calls time out
		if time.Now().After(deadline) {
			t.Fatal("every lookup of 10 s returned FromLedger true, expected a cache hit")
		}
	}
}
