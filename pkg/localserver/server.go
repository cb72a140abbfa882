package localserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"

	"flashsale/pkg/api"
	"flashsale/pkg/app"
)

const (
	sweepEvery    = time.Second
	watchEvery    = time.Minute
	healthTimeout = time.Second
	shutdownAfter = 10 * time.Second // as long as a request may take
	maxHeader     = 16 << 10
)

// Serve serves the checkout on listener and sweeps every second, until ctx ends; then it finishes what is under way.
func Serve(ctx context.Context, a *app.App, metrics *Metrics, listener net.Listener, log *slog.Logger) error {
	spec, err := api.OpenAPI()
	if err != nil {
		return fmt.Errorf("generating the OpenAPI document: %w", err)
	}
	handler := a.Handler(func(mux *http.ServeMux) { routes(mux, a, metrics, spec) })
	server := &http.Server{
		Handler: handler, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	sweeping, stopSweeping := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { sweep(sweeping, a, log) })
	background.Go(func() { watch(sweeping, a, log) })
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	select {
	case err = <-served:
	case <-ctx.Done():
		finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownAfter)
		defer cancel()
		err = errors.Join(server.Shutdown(finish), <-served)
	}
	stopSweeping()
	background.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving: %w", err)
}

// sweep takes back what is due, once a second. A sweep that fails is logged when it begins to, and when it works again.
func sweep(ctx context.Context, a *app.App, log *slog.Logger) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := a.Service.Sweep(ctx)
		switch {
		case err != nil && !failing:
			log.Error("sweep failed", "error", err.Error())
		case err == nil && failing:
			log.Info("sweep works again")
		}
		failing = err != nil
	}
}

// watch audits at the start and then once a minute.
func watch(ctx context.Context, a *app.App, log *slog.Logger) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		if err := a.Watch(ctx); err != nil && ctx.Err() == nil {
			log.Error("audit failed", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func routes(mux *http.ServeMux, a *app.App, metrics *Metrics, spec []byte) {
	mux.Handle("GET /metrics", metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { health(w, r, a) })
	mux.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(spec) // the client is gone if this fails
	})
	// Swagger UI from files inside the binary: works without internet access.
	mux.Handle("GET /docs/", v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "Flash Sale Checkout API", SwaggerJSON: "/openapi.yaml", BasePath: "/docs/", HideCurl: false,
	}))
	mux.Handle("GET /docs", http.RedirectHandler("/docs/", http.StatusMovedPermanently))
	mux.Handle("GET /{$}", http.RedirectHandler("/docs/", http.StatusFound))
}

// health answers 200 while the database answers. Without the cache the checkout works, only slower: "degraded".
func health(w http.ResponseWriter, r *http.Request, a *app.App) {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	state := map[string]string{"status": "ok", "database": "ok", "cache": "ok"}
	status := http.StatusOK
	if a.View.Ping(ctx) != nil {
		state["cache"], state["status"] = "unavailable", "degraded"
	}
	if a.Ledger.Ping(ctx) != nil {
		state["database"], state["status"] = "unavailable", "unavailable"
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(state) // the client is gone if this fails
}
