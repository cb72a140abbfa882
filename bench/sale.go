package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"flashsale/pkg/app"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/payments"
)

// sale is a sale in progress: a product, and a server on loopback that does what `flashsale run` does.
type sale struct {
	site    *site
	app     *app.App
	measure measure
	pace    pace
	product string
	url     string
	began   time.Time
	signer  *payments.Standard
	stop    func() error

	mu     sync.Mutex
	result hoarded
	hoards map[string]bool // ids of the hoarder's holds
	failed error
}

// openSale puts the product on sale and starts its server.
func (s *site) openSale(ctx context.Context, m measure, p pace) (*sale, error) {
	id, stock := s.productID(s.products), int64(p.units)
	s.products++
	change := checkout.ProductChange{ID: id, Name: new("Hoarded"), Price: price(), Stock: &stock, MaxQtyPerHold: &m.maxQty}
	if m.perShopper > 0 {
		change.MaxPerShopper = &checkout.Limit{Units: &m.perShopper}
	}
	secret := "whsec_aG9hcmRlZC1ob2FyZGVkLWhvYXJkZWQ=" //nolint:gosec // G101: of this sale only
	signer, err1 := payments.NewStandard([]string{secret})
	_, _, err2 := s.ledger.PutProduct(ctx, change)
	l, err3 := ledger.Open(s.appDSN, nothing{})
	listener, err4 := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	config := app.Config{HoldTTL: p.ttl, PaymentWindow: p.window, WebhookSecrets: []string{secret}}
	if m.orderLimit {
		config.OrderLimit = 3 * p.minute
	}
	log := slog.New(slog.DiscardHandler)
	a := app.New(config, app.Deps{Ledger: l, CacheAddr: s.options.CacheAddr, SignIn: signIn(m), Recorder: nothing{}, Logger: log})
	handler := a.Handler(nil)
	if m.perAddress > 0 {
		handler = limitRate(handler, m.perAddress, p.minute)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { _ = a.Sweeper().Run(background) })
	running.Go(func() { _ = server.Serve(listener) }) // ends with close
	return &sale{
		site: s, app: a, measure: m, pace: p, product: id, url: "http://" + listener.Addr().String() + "/v1", began: time.Now(), signer: signer,
		hoards: map[string]bool{},
		stop: func() error {
			stop()
			err := server.Close()
			running.Wait()
			return errors.Join(err, a.Close())
		},
	}, nil
}

func (s *sale) close() error { return errors.Join(s.failed, s.stop()) }

// count changes the outcome.
func (s *sale) count(change func(o *hoarded)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.result)
}

// signIn accepts a name as a token. Verification does not matter here.
func signIn(m measure) func(r *http.Request) (checkout.Shopper, error) {
	return func(r *http.Request) (checkout.Shopper, error) {
		name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case ok:
			return checkout.ShopperOf("bench", name), nil
		case m.perShopper > 0:
			return checkout.Shopper{}, checkout.Unauthenticated("Sign in.", nil)
		}
		return checkout.Shopper{}, nil
	}
}

// limitRate emulates a rate rule of WAF. It refuses a request if its address has sent more than limit within a period, counting this
// request and refused ones.
func limitRate(next http.Handler, limit int, period time.Duration) http.Handler {
	var mu sync.Mutex
	sent := map[string][]time.Time{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address, _, _ := net.SplitHostPort(r.RemoteAddr)
		now := time.Now()
		mu.Lock()
		sent[address] = append(sent[address], now)
		times := sent[address][max(0, len(sent[address])-limit-1):]
		sent[address] = times
		mu.Unlock()
		if len(times) > limit && now.Sub(times[0]) < period {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// client sends a shopper's requests from an address of its own. Without a name it is anonymous.
type client struct {
	sale   *sale
	name   string
	http   *http.Client
	hoards bool
}

func (s *sale) client(address, name string) *client {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &client{sale: s, name: name, http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 64}}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// reply has the members of responses that a client reads.
type reply struct {
	ID        string    `json:"id"`
	Available int64     `json:"available_stock"`
	PayBy     time.Time `json:"pay_by"`
	CreatedAt time.Time `json:"created_at"`
	Status    any       `json:"order_status"`
}

// send sends a request. The status is 0 if there is no response.
func (c *client) send(ctx context.Context, method, path string, body []byte, header http.Header) (status int, got reply) {
	if c.hoards {
		c.sale.count(func(o *hoarded) { o.requests++ })
	}
	request, err := http.NewRequestWithContext(ctx, method, c.sale.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, got
	}
	for name := range header {
		request.Header.Set(name, header.Get(name))
	}
	request.Header.Set("Content-Type", "application/json")
	if c.name != "" {
		request.Header.Set("Authorization", "Bearer "+c.name)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, got
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, got
	}
	_ = json.Unmarshal(text, &got) // a refusal of the rate rule has no body
	return response.StatusCode, got
}

// place asks for a hold. If it is refused, left is how many units are available.
func (c *client) place(ctx context.Context, qty int64) (id string, left int64, ok bool) {
	status, got := c.send(ctx, http.MethodPost, "/holds", fmt.Appendf(nil, `{"product_id":%q,"qty":%d}`, c.sale.product, qty), nil)
	if status != http.StatusCreated {
		return "", got.Available, false
	}
	if c.hoards {
		c.sale.mu.Lock()
		c.sale.hoards[got.ID] = true
		c.sale.mu.Unlock()
	}
	return got.ID, 0, true
}

func (c *client) order(ctx context.Context, hold string) bool {
	status, _ := c.send(ctx, http.MethodPost, "/orders", fmt.Appendf(nil, `{"hold_id":%q}`, hold), nil)
	return status == http.StatusCreated
}

func orderOf(hold string) string { return "ord_" + strings.TrimPrefix(hold, "hold_") }

func (c *client) readOrder(ctx context.Context, hold string) (reply, bool) {
	status, got := c.send(ctx, http.MethodGet, "/orders/"+orderOf(hold), nil, nil)
	return got, status == http.StatusOK
}

func (c *client) cancel(ctx context.Context, hold string) {
	c.send(ctx, http.MethodPost, "/orders/"+orderOf(hold)+"/cancel", nil, nil)
}

// pay is the payment provider's event of a shopper's payment.
func (s *sale) pay(ctx context.Context, c *client, hold string) bool {
	amount, now := int64(unitPrice), time.Now()
	body := payments.StandardBody(payments.StandardSucceeded, now, payments.StandardData{
		PaymentID: "pay_" + hold, HoldID: hold, Amount: &amount, Currency: "USD",
	})
	_, got := c.send(ctx, http.MethodPost, "/payments/webhook", body, s.signer.Sign("evt_"+hold, now, body))
	return got.Status == string(checkout.OrderPaid)
}

// unpaid is a hold or an order that waits for its payment.
type unpaid struct {
	id      checkout.ID
	shopper checkout.Shopper
	ordered bool
}

// unpaid lists the holds and orders that have waited for longer than age.
func (s *sale) unpaid(ctx context.Context, age time.Duration) (list []unpaid, err error) {
	err = s.rows(ctx, `SELECT h.id, h.shopper, o.id IS NOT NULL FROM holds h LEFT JOIN orders o ON o.id = h.id
		WHERE h.product_id = ? AND (h.status = 'active' OR o.status = 'pending_payment') AND h.created_at < UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND`,
		func(rows *sql.Rows) error {
			var id, shopper []byte
			var u unpaid
			if err := rows.Scan(&id, &shopper, &u.ordered); err != nil {
				return err
			}
			copy(u.id[:], id)
			copy(u.shopper[:], shopper)
			list = append(list, u)
			return nil
		}, s.product, age.Microseconds())
	return list, err
}

// outcome counts, from the rows, how long the hoarder had units.
func (s *sale) outcome(ctx context.Context) (hoarded, error) {
	if err := s.site.mustBeClean(ctx); err != nil {
		return hoarded{}, err
	}
	var kept float64 // units × seconds
	err := s.rows(ctx, `SELECT h.id, h.qty * TIMESTAMPDIFF(MICROSECOND, h.created_at,
		LEAST(UTC_TIMESTAMP(6), IF(o.id IS NULL, COALESCE(h.ended_at, UTC_TIMESTAMP(6)), IF(o.stock = 'none', o.updated_at, UTC_TIMESTAMP(6))))) / 1e6
		FROM holds h LEFT JOIN orders o ON o.id = h.id WHERE h.product_id = ?`,
		func(rows *sql.Rows) error {
			var id []byte
			var unitSeconds float64
			if err := rows.Scan(&id, &unitSeconds); err != nil {
				return err
			}
			if s.hoards[checkout.ID(id).HoldID()] {
				kept += unitSeconds
			}
			return nil
		}, s.product)
	took := time.Since(s.began).Seconds()
	s.result.share = kept / took / float64(s.pace.units)
	return s.result, err
}

func (s *sale) rows(ctx context.Context, query string, scan func(rows *sql.Rows) error, args ...any) (err error) {
	rows, err := s.site.admin.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("reading the holds: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("reading the holds: %w", err)
		}
	}
	return rows.Err()
}
