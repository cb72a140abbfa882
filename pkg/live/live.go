package live

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/money"
)

// Operator reads the stock for the page, and changes sales. Its errors are those of admin.Operator.
type Operator interface {
	Overview(ctx context.Context) (ledger.Overview, error)
	PutProduct(ctx context.Context, change checkout.ProductChange) (p checkout.Product, created bool, err error)
	EndSale(ctx context.Context, id string) (p checkout.Product, changed bool, err error)
	HideProduct(ctx context.Context, id string, hidden bool) (p checkout.Product, changed bool, err error)
}

// Traffic measures the requests of a checkout. Its errors may be a *Trouble.
type Traffic interface {
	Read(ctx context.Context) (Reading, error)
}

// Reading has the measurements since the last Read.
type Reading struct {
	Samples []TrafficSample // oldest first; the first Read may return older ones
	Broken  *int64          // broken invariants, as of the latest audits; nil: not known
}

// Options are what a page shows.
type Options struct {
	Title    string // such as "127.0.0.1:8080" or "stack shop-dev"
	Operator Operator
	Traffic  Traffic
	// The intervals of samples.
	StockEvery, TrafficEvery time.Duration
	// Findings lists the broken invariants that the latest audit of this process found; nil: this process runs no audit.
	Findings func() []ledger.Finding
	Logger   *slog.Logger
}

const (
	// kept is how long the samples are kept.
	kept = 10 * time.Minute
	// callTimeout limits one call to a source. A cold admin function needs several seconds.
	callTimeout = 15 * time.Second
	// maxStreams limits the pages that are open at the same time.
	maxStreams = 32
)

// Live collects samples and serves the page. Run must run while it serves.
type Live struct {
	options Options
	nudge   chan struct{} // asks for a sample of the stock at once

	mu       sync.Mutex
	stock    []StockSample // of the last ten minutes, oldest first
	traffic  []TrafficSample
	broken   *int64
	troubles [2]string       // of the stock and of the traffic
	overview ledger.Overview // the latest
	state    *State          // nil before the first sample
	streams  map[chan []byte]bool
	stopped  bool
}

// New makes a page.
func New(o Options) *Live {
	return &Live{options: o, nudge: make(chan struct{}, 1), streams: map[chan []byte]bool{}}
}

// Handler serves the page and its routes, below Path. It refuses requests from other machines.
func (l *Live) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+Path, Page())
	mux.Handle("GET "+strings.TrimSuffix(Path, "/"), http.RedirectHandler(Path, http.StatusFound))
	mux.HandleFunc("GET "+Path+"events", ownStreamsOnly(l.serveEvents))
	ownPage := http.NewCrossOriginProtection() // no other site may change a sale
	ownPage.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, "Only this page can change a sale.")
	}))
	mux.Handle("POST "+Path+"products/{id}/{action}", ownPage.Handler(http.HandlerFunc(l.serveAction)))
	mux.Handle("PATCH "+Path+"products/{id}", ownPage.Handler(http.HandlerFunc(l.serveChange)))
	return thisMachineOnly(mux)
}

// settings are the first event of a stream.
type settings struct {
	Title         string         `json:"title"`
	StockEvery    float64        `json:"stock_every_s"`
	TrafficEvery  float64        `json:"traffic_every_s"`
	Minutes       int            `json:"minutes"`
	DecimalPlaces map[string]int `json:"decimals"` // of currencies that do not have two
}

func (l *Live) settings() settings {
	return settings{l.options.Title, l.options.StockEvery.Seconds(), l.options.TrafficEvery.Seconds(), int(kept.Minutes()), money.NotHundredths()}
}
