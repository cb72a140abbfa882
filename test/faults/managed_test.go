package faults

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"flashsale/internal/shoptest"
)

// Requests that one process serves at the same time keep their own deadlines, and a locked product delays no hold of another one.
func TestConcurrentRequestsOfAProcessKeepTheirDeadlines(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{Managed: true})
	s := shoptest.New(t, 1_000_000, o)
	other := *s
	other.ProductID += "-other"
	other.MustPut(t, other.ProductID, 1_000_000)
	f := s.StartFunction(t, "holds", o)
	s.InvokeHold(t, f) // so that it is connected

	const each, short, long = 12, 1500 * time.Millisecond, 10 * time.Second // requests of each kind, and their time
	ask := func(of *shoptest.Shop, limit time.Duration) shoptest.Response {
		r, err := shoptest.Invoke(t, f, "/v1/holds", of.HoldBody(1), limit)
		if err != nil {
			t.Errorf("a request with %s got no response: %v", limit, err)
		}
		return r
	}
	// A machine that stalls makes a response of one round late. Requests without deadlines of their own would be late in every round.
	shoptest.Eventually(t, "all short requests get their responses in their time", func() bool {
		unlock := s.LockProduct(t)
		defer unlock()
		var hurried, patient sync.WaitGroup
		var late atomic.Int64
		for range each {
			hurried.Go(func() {
				begun := time.Now()
				shoptest.CheckProblem(t, ask(s, short), http.StatusServiceUnavailable, "busy")
				if time.Since(begun) > short {
					late.Add(1)
				}
			})
			patient.Go(func() {
				if r := shoptest.AtOnce(1, func(int) shoptest.Response { return ask(s, long) })[0]; r.Status != http.StatusCreated {
					t.Errorf("a patient request got %+v, expected 201 once the lock was gone", r)
				}
			})
		}
		shoptest.Eventually(t, "a call waits for the row", func() bool { return calls(t, s) > 0 })
		for _, r := range shoptest.AtOnce(each, func(int) shoptest.Response { return ask(&other, long) }) {
			if r.Status != http.StatusCreated {
				t.Errorf("a hold of the product that nobody locks got %+v, expected 201", r)
			}
		}
		hurried.Wait()
		unlock()
		patient.Wait()
		return late.Load() == 0 || t.Failed()
	})
	s.MustAudit(t)
}

// A process is killed while it serves many requests at once. Each shopper repeats the request with its key, and has one hold.
func TestProcessWithManyRequestsIsKilled(t *testing.T) {
	t.Parallel()
	const shoppers = 60
	s := shoptest.OpenManaged(t, 1000, shoptest.Options{})
	holds := s.Cloud.Pools["holds"]
	for _, r := range shoptest.AtOnce(shoppers, func(i int) shoptest.Response { return s.PostHold(t, 1, fmt.Sprintf("killed-warm-up-%d", i)) }) {
		if r.Status >= http.StatusMultipleChoices {
			t.Fatalf("before the kill: %+v", r)
		}
	}
	processes := holds.Processes()
	if len(processes) != shoptest.ManagedProcesses {
		t.Fatalf("%d processes serve %d requests, expected %d", len(processes), shoppers, shoptest.ManagedProcesses)
	}
	unlock := s.LockProduct(t)
	defer unlock()
	var mu sync.Mutex
	placed, repeated := map[string]bool{}, 0
	var asking sync.WaitGroup
	for i := range shoppers {
		asking.Go(func() {
			for deadline := time.Now().Add(time.Minute); ; {
				r, err := s.Try(http.MethodPost, "/v1/holds", s.HoldBody(1), shoptest.KeyHeader(fmt.Sprintf("killed-shopper-%d", i)))
				mu.Lock()
				switch {
				case err == nil && r.Status < http.StatusMultipleChoices:
					placed[r.Text("id")] = true
					mu.Unlock()
					return
				case err != nil || r.Status < http.StatusInternalServerError || time.Now().After(deadline):
					t.Errorf("shopper %d got %+v (%v), expected a hold in the end", i, r, err)
					mu.Unlock()
					return
				}
				repeated++
				mu.Unlock()
			}
		})
	}
	shoptest.Eventually(t, "both processes wait for the row", func() bool { return calls(t, s) >= len(processes) })
	if err := processes[0].Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	shoptest.Eventually(t, "a request of the killed process is repeated", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return repeated > 0
	})
	unlock()
	asking.Wait()
	if p := s.Stock(t); len(placed) != shoppers || p.ReservedStock != 2*shoppers {
		t.Errorf("%d shoppers have %d holds, and %d units are reserved; expected a hold each, and as many units again from before", shoppers, len(placed), p.ReservedStock)
	}
	s.MustAudit(t)
}
