package ledger

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"golang.org/x/sync/semaphore"

	"flashsale/pkg/checkout"
)

// This test is inside the package because it needs a queue without a database.

func TestQueueIsFirstInFirstOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Ledger{queue: semaphore.NewWeighted(1)}
		release, err := l.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		const callers = 50
		var served, want []int
		for i := range callers {
			want = append(want, i)
			go func() {
				release, err := l.acquire(t.Context())
				if err != nil {
					t.Errorf("caller %d: %v", i, err)
					return
				}
				served = append(served, i)
				release()
			}()
			synctest.Wait() // caller i is in the queue
		}
		release()
		synctest.Wait()
		if !slices.Equal(served, want) {
			t.Errorf("callers were served in the order %v, expected the order of arrival", served)
		}
	})
}

func TestFullQueueIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Ledger{queue: semaphore.NewWeighted(0), rec: checkout.NoRecorder{}}
		if _, err := l.call(context.Background(), "place_hold"); checkout.CodeOf(err) != checkout.CodeBusy {
			t.Errorf("a call that got no queue position returned %v, expected busy", err)
		}
	})
}
