package faults

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

// Units that are due come back within two seconds if anyone asks, even if no sweeper runs and payments keep renewing the
// cache entry that says "sold out".
func TestDueUnitsComeBackWithoutASweeper(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	o := shoptest.WithDefaults(t, shoptest.Options{HoldTTL: ttl})
	s := shoptest.New(t, 41, o)
	s.Deploy(t, func(string) []string { return shoptest.FunctionEnv(s, o) }) // without the schedule of the sweeps
	var orders []checkout.ID
	for range 40 {
		orders = append(orders, s.MustOrder(t, 1))
	}
	s.MustHold(t, 1)
	due := time.Now().Add(ttl)
	stop := make(chan struct{})
	var paying sync.WaitGroup
	paying.Go(func() {
		for _, o := range orders {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond): // the pace of the shoppers
				s.Deliver(t, "evt_"+o.OrderID(), s.Event("payment.succeeded", o, 1))
			}
		}
	})
	defer paying.Wait()
	defer close(stop)
	for {
		asked := time.Now()
		r := s.PostHold(t, 1, "")
		if r.Status == http.StatusCreated {
			return
		}
		if r.Code() != "sold_out" || asked.Sub(due) > 2*time.Second {
			t.Fatalf("a request %v after a unit was due got %+v, expected a hold", asked.Sub(due), r)
		}
		time.Sleep(50 * time.Millisecond) // between two requests
	}
}
