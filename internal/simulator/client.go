package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Operation is one of the checkout's, as a shopper or a payment provider uses it.
type Operation string

// The operations, in the order in which a purchase meets them.
const (
	Look      Operation = "look"       // GET /products/{id}
	Place     Operation = "hold"       // POST /holds
	LookHold  Operation = "look_hold"  // GET /holds/{id}
	Release   Operation = "release"    // DELETE /holds/{id}
	Order     Operation = "order"      // POST /orders
	LookOrder Operation = "look_order" // GET /orders/{id}
	Cancel    Operation = "cancel"     // POST /orders/{id}/cancel
	Pay       Operation = "pay"        // POST /payments/webhook
)

var operations = []Operation{Look, Place, LookHold, Release, Order, LookOrder, Cancel, Pay}

const (
	connections   = 512             // at a time: more would not fit into the usual limit of open files
	answerTimeout = 3 * time.Second // then a shopper sends its request again
	maxAnswer     = 1 << 20
)

// request is one request, and when it was due by the plan.
type request struct {
	op      Operation
	method  string
	path    string
	body    []byte
	header  http.Header
	timeout time.Duration
}

// answer is what came of a request. Times count from the beginning of the rush, by one clock that never jumps: the
// server had the request at the earliest when it was sent, and had done its part at the latest when it was received.
type answer struct {
	op       Operation
	sent     time.Duration
	received time.Duration
	status   int // 0: no answer came, nobody knows what the server did
	replayed bool
	version  int64 // of the product, from its ETag
	body     body
}

func (a answer) lost() bool { return a.status == 0 }
func (a answer) ok() bool   { return a.status/100 == 2 }

// busy is a refusal to be sent again later. Behind a gateway it may come without a code.
func (a answer) busy() bool {
	return a.status == http.StatusServiceUnavailable || a.status == http.StatusTooManyRequests
}

// word says in one word what an answer was.
func (a answer) word() string {
	switch {
	case a.lost():
		return "no_answer"
	case a.ok(), a.status == http.StatusNotModified:
		return "ok"
	case a.body.Code != "":
		return a.body.Code
	case a.busy():
		return "busy"
	}
	return "status_" + strconv.Itoa(a.status)
}

// money is an amount in minor units.
type money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// body has the members of every answer that the rush reads, whatever it is an answer to.
type body struct {
	ID          string    `json:"id"`
	ProductID   string    `json:"product_id"`
	HoldID      string    `json:"hold_id"`
	Qty         int64     `json:"qty"`
	Status      any       `json:"status"` // of a hold or an order, or a problem's number
	Reason      string    `json:"reason"`
	Amount      money     `json:"amount"`
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at"`
	PayBy       time.Time `json:"pay_by"`
	Result      string    `json:"result"`
	OrderStatus string    `json:"order_status"`
	Code        string    `json:"code"`
	RequestID   string    `json:"request_id"`
	Stock       int64     `json:"stock"`
	Reserved    int64     `json:"reserved_stock"`
	Sold        int64     `json:"sold_stock"`
	Available   *int64    `json:"available_stock"`
}

func (b body) state() string {
	text, _ := b.Status.(string)
	return text
}

// clock counts from the beginning of the simulator.
type clock struct{ start time.Time }

func (c clock) now() time.Duration { return time.Since(c.start) }

// until waits; false when ctx ended first.
func (c clock) until(ctx context.Context, at time.Duration) bool {
	wait := at - c.now()
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// client sends requests over a bounded number of connections.
type client struct {
	base  string
	clock clock
	http  *http.Client
	slots chan struct{}
	heard atomic.Int64 // when the last answer came
}

func newClient(base string, clock clock, slots int) *client {
	dialer := &net.Dialer{Timeout: answerTimeout}
	return &client{
		base: strings.TrimSuffix(base, "/") + "/v1", clock: clock, slots: make(chan struct{}, slots),
		http: &http.Client{Transport: &http.Transport{
			DialContext: dialer.DialContext, MaxIdleConnsPerHost: slots, IdleConnTimeout: time.Minute, DisableCompression: true,
			Proxy: http.ProxyFromEnvironment,
		}},
	}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// lastHeard is when the last answer came, whatever it said: 0 before the first.
func (c *client) lastHeard() time.Duration { return time.Duration(c.heard.Load()) }

// send waits for a free connection and makes one request. Its timeout begins when it is sent.
func (c *client) send(ctx context.Context, r request) answer {
	a := answer{op: r.op}
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		a.sent, a.received = c.clock.now(), c.clock.now()
		return a
	}
	defer func() { <-c.slots }()
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	a.sent = c.clock.now()
	c.exchange(ctx, r, &a)
	a.received = c.clock.now()
	if !a.lost() {
		c.heard.Store(int64(a.received)) // two at once may store in either order: a moment does not matter
	}
	return a
}

// exchange fills the answer in, or leaves it without a status when the whole of it did not come.
func (c *client) exchange(ctx context.Context, r request, a *answer) {
	message, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return // cannot be: the base was tried before the rush began
	}
	for name, values := range r.header {
		message.Header[name] = values
	}
	if r.body != nil {
		message.Header.Set("Content-Type", "application/json")
		message.GetBody = nil // else net/http would send it again by itself, and the books would not know
	}
	response, err := c.http.Do(message)
	if err != nil {
		return
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return
	}
	if response.StatusCode == http.StatusBadGateway || response.StatusCode == http.StatusGatewayTimeout {
		return // something in front of the checkout gave up on it: nobody knows what the checkout did
	}
	_ = json.Unmarshal(text, &a.body) // what is not JSON has no code, and is judged by that
	a.status = response.StatusCode
	a.replayed = response.Header.Get("Idempotent-Replayed") == "true"
	etag := strings.Trim(strings.TrimPrefix(response.Header.Get("ETag"), "W/"), `"`)
	a.version, _ = strconv.ParseInt(etag, 10, 64) // 0 when it is not a product
}
