package localserver

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"flashsale/pkg/admin"
	"flashsale/pkg/api"
	"flashsale/pkg/app"
	"flashsale/pkg/checkout"
	"flashsale/pkg/live"
)

// liveInterval is the interval between two samples of the operator's page.
const liveInterval = time.Second

// NewLive makes the operator's page of this server. Changes are logged with the name that who returns.
func NewLive(a *app.App, metrics *Metrics, title string, usesStripe bool, who func(context.Context) string, log *slog.Logger) *live.Live {
	operator := admin.Logged{
		Operator: admin.Local{Ledger: a.Ledger, Stripe: usesStripe, Who: who}, Logger: log, Who: who, Product: a.Ledger.Product,
	}
	return live.New(live.Options{
		Title: title, Operator: operator, Traffic: live.InProcess(metrics.Gather), StockEvery: liveInterval, TrafficEvery: liveInterval,
		Findings: a.Findings, Logger: log,
	})
}

// withLive serves the operator's page beside the API. No page of another origin may read it, its streams have no deadline, and it checks by
// itself that a request comes from this machine.
func withLive(next, page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path+"/", live.Path) {
			page.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// noLive tells an operator where the page is.
func noLive(w http.ResponseWriter, _ *http.Request) {
	api.WriteProblem(w, w.Header().Get("X-Request-Id"), &checkout.Error{
		Code: checkout.CodeNotFound, Detail: "This server does not serve the operator's page. Run `flashsale live` on its machine.",
	})
}
