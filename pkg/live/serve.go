package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// shutdownTimeout limits the wait for requests in progress. It outlasts a change on a stack.
const shutdownTimeout = 20 * time.Second

// Serve serves the page alone on listener, and samples, until ctx ends.
func (l *Live) Serve(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("/", l.Handler())
	mux.Handle("GET /{$}", http.RedirectHandler(Path, http.StatusFound))
	server := &http.Server{
		Handler: mux, ErrorLog: slog.NewLogLogger(l.options.Logger.Handler(), slog.LevelDebug), MaxHeaderBytes: 16 << 10,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: callTimeout + 10*time.Second, IdleTimeout: 2 * time.Minute,
	}
	sampled, stopSampling := context.WithCancel(ctx)
	var sampling sync.WaitGroup
	sampling.Go(func() { l.Run(sampled) })
	defer sampling.Wait()
	defer stopSampling()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	var err error
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
	return fmt.Errorf("serving the page: %w", err)
}

// CheckAddress refuses an address to listen on that other machines can reach. It is host:port.
func CheckAddress(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("the address is %q, expected host:port such as 127.0.0.1:8090", address)
	}
	if !isLoopback(hostOf(host)) {
		return fmt.Errorf("the address is %q, but the page has no sign-in: expected an address of this machine alone, such as 127.0.0.1:8090", address)
	}
	return nil
}
