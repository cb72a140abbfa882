package localserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"flashsale/pkg/app"
	"flashsale/pkg/ledger"
	"flashsale/pkg/live"
	"flashsale/pkg/localserver/shop"
	"flashsale/pkg/stockview"
)

const (
	healthTimeout   = time.Second
	shutdownTimeout = 10 * time.Second // longer than any request
	maxHeader       = 16 << 10
)

// Options are the pages that the server serves, or lets call it.
type Options struct {
	AllowedOrigin string // pages of this origin may call the API: "*" means all pages, and "" those of this machine
	Shop          shop.Options
	Live          *live.Live // the operator's page; nil: there is none
}

// Serve serves the checkout on listener and sweeps, until ctx ends. Then it finishes the requests in progress.
func Serve(ctx context.Context, a *app.App, metrics *Metrics, listener net.Listener, o Options, log *slog.Logger) error {
	documentation, err := newDocumentation()
	if err != nil {
		return err
	}
	var handler http.Handler
	contract := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) })
	handler = a.Handler(func(mux *http.ServeMux) {
		mux.Handle("GET /metrics", metrics.Handler())
		mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { health(w, r, a) })
		documentation.routes(mux)
		shop.Register(mux, contract, o.Shop)
		mux.Handle("GET /{$}", http.RedirectHandler(shop.Path, http.StatusFound))
		if o.Live == nil {
			mux.HandleFunc(live.Path, noLive)
			mux.HandleFunc(strings.TrimSuffix(live.Path, "/"), noLive)
		}
	})
	sweeping, stopSweeping := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	sweeper := a.Sweeper()
	sweeper.FullAudit = a.FullAudit                     // in a stack, the admin function does it
	background.Go(func() { _ = sweeper.Run(sweeping) }) // it logs its errors
	served := withCORS(handler, o.AllowedOrigin)
	sampling, stopSampling := context.WithCancel(ctx) // ends with ctx, since a server that stops waits for the page's streams
	if o.Live != nil {
		served = withLive(served, o.Live.Handler())
		background.Go(func() { o.Live.Run(sampling) })
	}
	err = serve(ctx, served, limitConnections(listener, connectionLimit, log), log)
	stopSampling()
	stopSweeping()
	background.Wait()
	return err
}

// serve serves handler until ctx ends. Mistakes of a client on its connection are logged at the level debug.
func serve(ctx context.Context, handler http.Handler, listener *connections, log *slog.Logger) (err error) {
	server := &http.Server{
		Handler: handler, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), MaxHeaderBytes: maxHeader, ConnState: listener.track,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err = <-served:
	case <-ctx.Done():
		finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		err = errors.Join(server.Shutdown(finish), <-served)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving: %w", err)
}

// health responds with 200 while the database responds and has the routines of this release. Without the cache the checkout is only slower: "degraded".
func health(w http.ResponseWriter, r *http.Request, a *app.App) {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	state := map[string]string{"status": "ok", "database": "ok", "cache": "ok"}
	status := http.StatusOK
	if err := a.View.Ping(ctx); err != nil {
		state["cache"], state["status"] = cacheState(err), "degraded"
	}
	if err := a.Ledger.Check(ctx); err != nil {
		state["database"], state["status"] = "unavailable", "unavailable"
		if errors.Is(err, ledger.ErrNotMigrated) {
			state["database"] = "not migrated"
		}
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(state) // fails only if the client is gone
}

// cacheState names what is wrong with the cache.
func cacheState(err error) string {
	switch {
	case errors.Is(err, stockview.ErrReadOnly):
		return "read_only"
	case errors.Is(err, stockview.ErrFull):
		return "full"
	}
	return "unavailable"
}
