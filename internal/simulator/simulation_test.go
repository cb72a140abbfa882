package simulator_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flashsale/internal/simulator"
)

// operator accepts every product and finds nothing.
type operator struct{ audit error }

func (operator) PutOnSale(context.Context, simulator.Offer) error { return nil }

func (o operator) Audit(context.Context) ([]simulator.Finding, error) { return nil, o.audit }

func (operator) Owed(context.Context) (map[string]int64, error) { return map[string]int64{}, nil }

// signer does not sign.
type signer struct{}

func (signer) Sign(string, time.Time, []byte) http.Header { return http.Header{} }

// shop is a sold-out checkout. One unit stays reserved forever, so the checks wait for its return.
func shop(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1/products/"):
		w.Header().Set("ETag", `"1"`)
		_, _ = fmt.Fprint(w, `{"stock":1,"available_stock":0,"reserved_stock":1,"sold_stock":0}`)
	case r.URL.Path == "/v1/holds":
		w.WriteHeader(http.StatusConflict)
		_, _ = fmt.Fprint(w, `{"status":409,"code":"sold_out"}`)
	}
}

func options(url string) simulator.Options {
	return simulator.Options{
		Sale: simulator.Sale{Seed: 1, Shoppers: 10, Stock: 1, Spike: 50 * time.Millisecond, Duration: 50 * time.Millisecond},
		URL:  url, Product: "p", Operator: operator{}, Signer: signer{}, ShowEvery: 10 * time.Millisecond,
		Quiet: time.Millisecond, TakenBack: time.Hour, Silence: time.Hour,
	}
}

func TestRunGivesUpOnDeadServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(shop))
	o := options(server.URL)
	o.Silence = 500 * time.Millisecond
	o.Show = func(p simulator.Progress) {
		if p.Phase == "checking" {
			server.CloseClientConnections()
			server.Close()
		}
	}
	report, err := simulator.Run(context.Background(), o)
	if report != nil || err == nil || !strings.Contains(err.Error(), "no longer responds: the sale cannot be checked") {
		t.Errorf("report %v, error %v; expected the error that the server no longer responds", report, err)
	}
}

func TestRunGivesUpOnRequest(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(shop))
	defer server.Close()
	for name, givesUp := range map[string]func(o *simulator.Options) context.Context{
		"GiveUp is closed in the checks": func(o *simulator.Options) context.Context {
			giveUp, closed := make(chan struct{}), false
			o.GiveUp = giveUp
			o.Show = func(p simulator.Progress) {
				if p.Phase == "checking" && !closed {
					closed = true
					close(giveUp)
				}
			}
			return context.Background()
		},
		"the context ends in the checks": func(o *simulator.Options) context.Context {
			ctx, cancel := context.WithCancel(context.Background())
			o.Show = func(p simulator.Progress) {
				if p.Phase == "checking" {
					cancel()
				}
			}
			return ctx
		},
	} {
		o := options(server.URL)
		ctx := givesUp(&o)
		report, err := simulator.Run(ctx, o)
		if report != nil || err == nil || !strings.Contains(err.Error(), "there is no result") {
			t.Errorf("%s: report %v, error %v; expected the error that there is no result", name, report, err)
		}
	}
}

func TestRunRejectsOtherServer(t *testing.T) {
	for name, c := range map[string]struct {
		status func(path string) int
		says   string
	}{
		"it does not know the product": {func(string) int { return http.StatusNotFound }, "does not know the product"},
		"it does not accept the signature": {func(path string) int {
			if path == "/healthz" || strings.HasPrefix(path, "/v1/products/") {
				return http.StatusOK
			}
			return http.StatusUnauthorized
		}, "does not accept this command's webhook secret"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(c.status(r.URL.Path)) }))
		if _, err := simulator.Run(context.Background(), options(server.URL)); !errors.Is(err, simulator.ErrElsewhere) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, expected ErrElsewhere with %q", name, err, c.says)
		}
		server.Close()
	}
}

// noSale fails the test when something is put on sale.
type noSale struct {
	operator
	t *testing.T
}

func (o noSale) PutOnSale(context.Context, simulator.Offer) error {
	o.t.Error("a product was put on sale, expected none")
	return nil
}

func TestRunLooksForServerFirst(t *testing.T) {
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer broken.Close()
	for url, says := range map[string]string{dead.URL: "no server responds at " + dead.URL, broken.URL: broken.URL + "/healthz responded 503"} {
		o := options(url)
		o.Operator = noSale{t: t}
		if _, err := simulator.Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, expected %q", err, says)
		}
	}
}

// A cached list may hide a new product for a moment.
func TestRunWaitsForItsProduct(t *testing.T) {
	var looks atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/healthz":
		case !strings.HasPrefix(r.URL.Path, "/v1/products/"):
			w.WriteHeader(http.StatusUnauthorized) // the signature: the simulation ends here
		case looks.Add(1) == 1:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	if _, err := simulator.Run(context.Background(), options(server.URL)); err == nil || !strings.Contains(err.Error(), "webhook secret") || looks.Load() < 2 {
		t.Errorf("error %v after %d looks at the product, expected a second look and the error about the secret", err, looks.Load())
	}
}

func TestRunReportsFailedAudit(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(shop))
	defer server.Close()
	o := options(server.URL)
	o.Operator = operator{audit: errors.New("no database")}
	if _, err := simulator.Run(context.Background(), o); err == nil || err.Error() != "auditing before the sale: no database" {
		t.Errorf("error %v, expected that of the audit", err)
	}
}
