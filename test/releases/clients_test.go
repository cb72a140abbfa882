package releases

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

const (
	buyers   = 6
	patience = 30 * time.Second
)

// purchases is how many each phase waits for, by all buyers together.
func purchases() int64 { return ledgertest.Thorough[int64](20, 40) }

func signer(t *testing.T) *payments.Standard {
	t.Helper()
	return shoptest.Must(payments.NewStandard([]string{shoptest.Secret("new")}))(t)
}

func newClients(t *testing.T, s *shoptest.Shop, urls ...string) *clients {
	t.Helper()
	c := &clients{shop: s, orders: map[string]string{}}
	c.use(urls...)
	ended := make(chan struct{})
	var wg sync.WaitGroup
	c.stop = sync.OnceFunc(func() { close(ended); wg.Wait() })
	t.Cleanup(c.stop)
	for n := range buyers {
		wg.Go(func() {
			for i := n; ; i++ {
				select {
				case <-ended:
					return
				default:
					c.purchase(t, i%4)
					c.done.Add(1)
				}
			}
		})
	}
	return c
}

// use names the servers that requests go to from now on. It returns once no request is under way to another.
func (c *clients) use(urls ...string) {
	c.urls.Store(&urls)
	for n := c.done.Load(); c.stop != nil && c.done.Load() < n+2*buyers; {
		time.Sleep(time.Millisecond) // between two looks
	}
}

// buy waits for more purchases.
func (c *clients) buy(t *testing.T, phase string) {
	t.Helper()
	from, busy := c.done.Load(), c.busy.Load()
	shoptest.Eventually(t, fmt.Sprint(purchases(), " purchases: ", phase), func() bool { return c.done.Load() >= from+purchases() || t.Failed() })
	if t.Failed() {
		t.Fatalf("a request failed: %s", phase)
	}
	t.Logf("%s: %d busy responses", phase, c.busy.Load()-busy)
}

// send retries a busy response, and an event that was only stored, with the same ids. It fails on any other response than the
// expected ones.
func (c *clients) send(t *testing.T, method, path, body string, header http.Header, want ...int) shoptest.Response {
	for end := time.Now().Add(patience); ; {
		urls := *c.urls.Load()
		s := *c.shop
		s.URL = urls[rand.IntN(len(urls))]
		r := s.Do(t, method, path, body, header)
		for _, status := range want {
			if r.Status == status {
				return r
			}
		}
		again := r.Code() == "busy" || r.Status == http.StatusAccepted && r.Text("result") == string(checkout.PaymentStored)
		if !again || time.Now().After(end) {
			t.Errorf("%s %s at %s: got %+v, expected %v", method, path, s.URL, r, want)
			return r
		}
		c.busy.Add(1)
		time.Sleep(20 * time.Millisecond) // Retry-After asks for more
	}
}

// purchase places a hold and ends it in one of four ways: released, cancelled, paid, or paid before it is ordered.
func (c *clients) purchase(t *testing.T, way int) {
	s := c.shop
	r := c.send(t, http.MethodPost, "/v1/holds", s.HoldBody(1), shoptest.KeyHeader("key-"+uuid.NewString()), http.StatusCreated, http.StatusOK)
	id, ok := checkout.ParseHoldID(r.Text("id"))
	if !ok {
		return
	}
	order := func() {
		c.send(t, http.MethodPost, "/v1/orders", `{"hold_id":"`+id.HoldID()+`"}`, nil, http.StatusCreated, http.StatusOK)
	}
	pay := func() {
		body := s.Event("payment.succeeded", id, 1)
		event := "evt_" + id.OrderID()
		for range 2 { // the second delivery is a duplicate, perhaps at the other release
			c.send(t, http.MethodPost, "/v1/payments/webhook", string(body), s.Signer.Sign(event, time.Now(), body), http.StatusOK)
		}
	}
	status := string(checkout.OrderPaid)
	switch way {
	case 0:
		c.send(t, http.MethodDelete, "/v1/holds/"+id.HoldID(), "", nil, http.StatusNoContent)
		return
	case 1:
		order()
		c.send(t, http.MethodPost, "/v1/orders/"+id.OrderID()+"/cancel", "", nil, http.StatusOK)
		status = string(checkout.OrderCancelled)
	case 2:
		order()
		pay()
	default:
		pay()
		order()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.orders[id.OrderID()] = status
}
