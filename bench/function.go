package main

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"flashsale/internal/lambdaemu"
)

var functionAbout = "The functions as deployed, each a process with a Runtime API of its own. *zipped*: for arm64, compressed as SAM does. " +
	"*first next*: from exec until the process asks for its first event; `make cold-start` measures it for all functions. " +
	"*memory*: resident set of a process that serves `POST /v1/holds` or `GET /v1/products/{id}`, after so many requests."

// runFunction measures size, start and memory of the functions.
func runFunction(ctx context.Context, t *trial) (err error) {
	dir, err := os.MkdirTemp("", "flashsale-bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	here, deployed := filepath.Join(dir, runtime.GOARCH), filepath.Join(dir, "arm64")
	if t.Tiny {
		deployed = here // to build for another processor takes minutes the first time
	}
	for _, into := range slices.Compact([]string{here, deployed}) {
		err = errors.Join(os.MkdirAll(into, 0o700), lambdaemu.Build(ctx, into, filepath.Base(into)))
		if err != nil {
			return fmt.Errorf("building the functions: %w", err)
		}
	}
	for _, name := range []string{"products", "holds", "orders", "webhook", "expire", "admin"} {
		size, err := zippedMiB(filepath.Join(deployed, name))
		if err != nil {
			return err
		}
		t.add(name, "zipped, MiB", size)
	}
	return t.onSchema(ctx, func(ctx context.Context, s *site) error {
		return s.alternate(ctx, func() {},
			func(ctx context.Context) error { return s.lifetime(ctx, here, "products", http.StatusOK) },
			func(ctx context.Context) error { return s.lifetime(ctx, here, "holds", http.StatusCreated) })
	})
}

// lifetime starts a process of a function, lets it serve requests and reads its memory.
func (s *site) lifetime(ctx context.Context, dir, name string, want int) error {
	f, err := lambdaemu.Start(ctx, filepath.Join(dir, name), "MYSQL_DSN="+s.adminDSN, "CACHE_ADDR="+s.options.CacheAddr)
	if err != nil {
		return fmt.Errorf("starting the function %s: %w", name, err)
	}
	defer f.Stop()
	s.add(name, "first next, ms", float64(f.Started)/float64(time.Millisecond))
	method, path, body := http.MethodGet, "/v1/products/"+s.onSale, ""
	if name == "holds" {
		method, path, body = http.MethodPost, "/v1/holds", `{"product_id":"`+s.onSale+`","qty":1}`
	}
	request, err := http.NewRequestWithContext(ctx, method, "https://api.example"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.RemoteAddr = "192.0.2.1:1234"
	event, err := lambdaemu.Event(request)
	if err != nil {
		return err
	}
	measured := s.pids
	defer func() { s.pids = measured }()
	s.pids = append(slices.Clone(measured), int32(f.PID())) //nolint:gosec // G115: Linux's pids fit
	half := s.size(5_000, 10)
	after := func(n int) string { return "memory after " + strconv.Itoa(n) + ", MiB" }
	_, err = s.watched(func() error {
		for n := 0; ; n++ {
			if n%half == 0 {
				mib, err := memory(f.PID())
				if err != nil {
					return err
				}
				if s.add(name, after(n), mib); n == 2*half {
					return nil
				}
			}
			text, err := f.Invoke(ctx, event, callTimeout)
			var response events.APIGatewayV2HTTPResponse
			if err = errors.Join(err, json.Unmarshal(text, &response)); err != nil || response.StatusCode != want {
				return fmt.Errorf("the function %s returned %s (%w), expected status %d", name, text, err, want)
			}
		}
	})
	s.add(name, "growth, second half, %", 100*(s.last(name, after(2*half))/s.last(name, after(half))-1))
	return err
}

// zippedMiB compresses a file as SAM does.
func zippedMiB(path string) (float64, error) {
	binary, err := os.ReadFile(path) //nolint:gosec // G304: built a moment ago
	if err != nil {
		return 0, err
	}
	var zipped bytes.Buffer
	packer, err := flate.NewWriter(&zipped, flate.DefaultCompression)
	if err != nil {
		return 0, err
	}
	_, err = packer.Write(binary)
	err = errors.Join(err, packer.Close())
	return float64(zipped.Len()) / (1 << 20), err
}
