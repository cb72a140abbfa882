package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Operation is one of the checkout's operations, as a shopper or a payment provider uses it.
type Operation string

// The operations, in the order of a purchase.
const (
	Look      Operation = "look"       // GET /products/{id}
	Place     Operation = "hold"       // POST /holds
	LookHold  Operation = "look_hold"  // GET /holds/{id}
	Release   Operation = "release"    // DELETE /holds/{id}
	Order     Operation = "order"      // POST /orders
	LookOrder Operation = "look_order" // GET /orders/{id}
	Cancel    Operation = "cancel"     // POST /orders/{id}/cancel
	Pay       Operation = "pay"        // POST /payments/webhook
	Foreign   Operation = "foreign"    // any of these about another shopper's hold or order
	ListHolds Operation = "list_holds" // GET /holds, at the end of the sale only
)

var operations = []Operation{Look, Place, LookHold, Release, Order, LookOrder, Cancel, Pay, Foreign}

const (
	maxConnections  = 512             // below the default limit of open files
	responseTimeout = 3 * time.Second // after it a shopper retries
	maxResponse     = 1 << 20         // bytes
)

// request is one request. A zero timeout means responseTimeout.
type request struct {
	op      Operation
	method  string
	path    string
	body    []byte
	header  http.Header
	token   string // of the shopper; empty: anonymous
	timeout time.Duration
	probe   bool // the path is not below /v1
}

// response is the outcome of a request. Times count from the opening, by one monotonic clock. The server got the
// request no earlier than it was sent, and finished its part no later than the response was received.
type response struct {
	op       Operation
	sent     time.Duration
	received time.Duration
	timing   timing
	status   int // 0: no response arrived, so the server may or may not have acted
	replayed bool
	version  int64 // of the product, from its ETag
	body     body
}

// timing splits the time of a request. The rest of it was spent sending and reading.
type timing struct {
	connecting time.Duration // until the request had a connection, after it had a slot
	server     time.Duration // from the end of the request to the first byte of its response
}

func (a response) lost() bool { return a.status == 0 }
func (a response) ok() bool   { return a.status/100 == 2 }

// busy reports a refusal that invites a retry. Behind a gateway it may have no code.
func (a response) busy() bool {
	return a.status == http.StatusServiceUnavailable || a.status == http.StatusTooManyRequests
}

// outcome classifies a response by one word.
func (a response) outcome() string {
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

// body has the members that the simulation reads, of every kind of response.
type body struct {
	ID          string    `json:"id"`
	ProductID   string    `json:"product_id"`
	HoldID      string    `json:"hold_id"`
	Qty         int64     `json:"qty"`
	Status      any       `json:"status"` // a hold's or an order's state, or a problem's number
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
	Limit       int64     `json:"max_per_shopper"`
	Yours       int64     `json:"yours"`
	Data        []body    `json:"data"`
	NextCursor  string    `json:"next_cursor"`
}

func (b body) state() string {
	text, _ := b.Status.(string)
	return text
}

// clock counts from the opening.
type clock struct{ start time.Time }

func (c clock) now() time.Duration { return time.Since(c.start) }

// until waits for an instant; it returns false if ctx ended first.
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

// client sends requests over a limited number of connections.
type client struct {
	base          string
	clock         clock
	http          *http.Client
	slots         chan struct{}
	lastResponded atomic.Int64 // when the last response arrived
}

func newClient(base string, clock clock, slots int) *client {
	dialer := &net.Dialer{Timeout: responseTimeout}
	return &client{
		base: strings.TrimSuffix(base, "/"), clock: clock, slots: make(chan struct{}, slots),
		http: &http.Client{Transport: &http.Transport{
			DialContext: dialer.DialContext, MaxIdleConnsPerHost: slots, IdleConnTimeout: time.Minute, DisableCompression: true,
			Proxy: http.ProxyFromEnvironment,
		}},
	}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// lastResponse is when the last response arrived, of any status; 0 before the first.
func (c *client) lastResponse() time.Duration { return time.Duration(c.lastResponded.Load()) }

// send waits for a free slot and makes one request. The timeout begins when the request is sent.
func (c *client) send(ctx context.Context, r request) response {
	a := response{op: r.op}
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		a.sent, a.received = c.clock.now(), c.clock.now()
		return a
	}
	defer func() { <-c.slots }()
	if r.timeout == 0 {
		r.timeout = responseTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	a.sent = c.clock.now()
	c.exchange(ctx, r, &a)
	a.received = c.clock.now()
	if !a.lost() {
		c.lastResponded.Store(int64(a.received)) // two responses may store in either order; the difference does not matter
	}
	return a
}

// trace notes when a request got its connection, was written, and got the first byte of its response. net/http calls the
// hooks from goroutines of its own, possibly after the request has ended: hence atomics.
type trace struct{ connected, written, responded atomic.Int64 }

func (t *trace) hooks(c clock) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { t.connected.Store(int64(c.now())) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { t.written.Store(int64(c.now())) },
		GotFirstResponseByte: func() { t.responded.Store(int64(c.now())) },
	}
}

// timing is the split of a request that got a response. A server may respond before it has read the whole request.
func (t *trace) timing(sent time.Duration) timing {
	connected, responded := time.Duration(t.connected.Load()), time.Duration(t.responded.Load())
	written := max(connected, min(time.Duration(t.written.Load()), responded))
	return timing{connecting: connected - sent, server: responded - written}
}

// exchange fills the response in, or leaves its status 0 if it did not arrive as a whole.
func (c *client) exchange(ctx context.Context, r request, a *response) {
	var t trace
	url := c.base + "/v1" + r.path
	if r.probe {
		url = c.base + r.path
	}
	message, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, t.hooks(c.clock)), r.method, url, bytes.NewReader(r.body))
	if err != nil {
		return // cannot happen: the base was tried before the sale began
	}
	for name, values := range r.header {
		message.Header[name] = values
	}
	if r.token != "" {
		message.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.body != nil {
		message.Header.Set("Content-Type", "application/json")
		message.GetBody = nil // otherwise net/http may resend the request, and the history would miss it
	}
	reply, err := c.http.Do(message)
	if err != nil {
		return
	}
	defer func() { _ = reply.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(reply.Body, maxResponse))
	if err != nil {
		return
	}
	if reply.StatusCode == http.StatusBadGateway || reply.StatusCode == http.StatusGatewayTimeout {
		return // a gateway gave up: the checkout may or may not have acted
	}
	_ = json.Unmarshal(text, &a.body) // a body that is not JSON has no code, and breaks the contract's check
	a.status, a.timing = reply.StatusCode, t.timing(a.sent)
	a.replayed = reply.Header.Get("Idempotent-Replayed") == "true"
	etag := strings.Trim(strings.TrimPrefix(reply.Header.Get("ETag"), "W/"), `"`)
	a.version, _ = strconv.ParseInt(etag, 10, 64) // 0 if it is not a product
}
