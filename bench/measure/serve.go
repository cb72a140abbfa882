package bench

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// site is a running server, the database that it works on, and the processes that take part.
type site struct {
	*schema
	label  string // of the database
	url    string
	secret string // signs its webhooks
	cache  string // host:port
	crew   crew
}

// onSites runs do on a server of each database, which is stopped afterwards. What could not be looked at goes into left.
func (r *Run) onSites(ctx context.Context, left *[]string, do func(ctx context.Context, s *site) error) error {
	return r.onEach(ctx, func(ctx context.Context, d Database, s *schema) (err error) {
		key := make([]byte, 24)
		_, _ = rand.Read(key) // never fails
		x := &site{schema: s, label: d.Label, secret: "whsec_" + base64.StdEncoding.EncodeToString(key), cache: r.CacheAddr}
		server, err := r.Serve(ctx, "MYSQL_DSN="+s.adminDSN, "CACHE_ADDR="+r.CacheAddr, "WEBHOOK_SECRETS="+x.secret)
		if err != nil {
			return fmt.Errorf("starting a server: %w", err)
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
		x.url = server.URL
		x.crew = newCrew(s.adminDSN, r.CacheAddr, server.PID)
		for _, unseen := range x.crew.unseen {
			*left = append(*left, d.Label+": "+unseen)
		}
		return do(ctx, x)
	})
}

// rounds runs every case once a round.
func (r *Run) rounds(ctx context.Context, cases ...func(ctx context.Context) error) error {
	for range r.Rounds {
		for _, run := range cases {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := run(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// measured runs a load while it looks at the CPU of all who take part, and notes both.
func (s *site) measured(ctx context.Context, f Figures, l load, key ...string) error {
	var stop func() map[string]float64
	var cores map[string]float64
	l.begin = both(l.begin, func() { stop = s.crew.watch() })
	l.end = both(func() { cores = stop() }, l.end)
	sample, err := l.run(ctx)
	if err != nil {
		return fmt.Errorf("%v: %w", key, err)
	}
	f.AddSample(sample, key...)
	for name, n := range cores {
		f.Add(name, n, key...)
	}
	if d, ok := cores[theDatabase]; ok { // what an answer costs whoever runs the checkout, in µs of CPU
		f.Add("cost", (cores[theServer]+d+cores[theCache])/sample.Rate*1e6, key...)
	}
	return nil
}

// cpuColumns are the columns of who kept how many cores busy, and cpu their figures.
func cpuColumns() []Column {
	return []Column{{theServer, Cores}, {theDatabase, Cores}, {theCache, Cores}, {theGenerator, Cores}}
}

func (f Figures) cpu(key ...string) []Value {
	values := make([]Value, 0, 4)
	for _, c := range cpuColumns() {
		values = append(values, f.Median(c.Name, key...))
	}
	return values
}

// placing is a load's op: each worker places holds of one unit over a connection of its own; keyed with a new
// Idempotency-Key each time. Every answer has to be want.
func placing(callers []*caller, product string, keyed bool, want int) func(context.Context, int) error {
	body := []byte(`{"product_id":"` + product + `","qty":1}`)
	prefix := newID().HoldID() + "-"
	counters := make([]int, len(callers))
	return func(_ context.Context, worker int) error {
		var headers []header
		if keyed {
			counters[worker]++
			headers = []header{{"Idempotency-Key", prefix + strconv.Itoa(worker) + "-" + strconv.Itoa(counters[worker])}}
		}
		status, answer, err := callers[worker].do("POST", "/v1/holds", body, headers...)
		return expect(want, status, answer, err)
	}
}

// openLedger opens the ledger as the server does.
func (s *schema) openLedger() (*ledger.Ledger, error) { return ledger.Open(s.appDSN, nothing{}) }

// calling is placing without the server: the same holds, of the ledger itself.
func calling(l *ledger.Ledger, product string, keyed bool) func(context.Context, int) error {
	return func(ctx context.Context, _ int) error {
		request := checkout.HoldRequest{ID: newID(), ProductID: product, Qty: 1, TTL: holdTTL, Price: &checkout.Money{Amount: 4999, Currency: "USD"}}
		if keyed {
			key, _ := checkout.ParseIdempotencyKey(request.ID.HoldID()) // its form is right
			request.Key = &key
		}
		_, err := l.PlaceHold(ctx, request)
		return err
	}
}
