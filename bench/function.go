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

var functionAbout = "The functions as deployed, each a process with a Runtime API of its own. *first next*: from exec until the process asks for its first event. " +
	"*zipped*: for arm64, compressed as SAM does. *memory*: resident set of a process that serves `POST /v1/holds` or `GET /v1/products/{id}`, at rest and after so many requests."

var functions = []string{"products", "holds", "orders", "webhook", "expire", "admin"}

// runFunction measures start, size and memory of the functions.
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
	for _, name := range functions {
		size, err := zippedMiB(filepath.Join(deployed, name))
		if err != nil {
			return err
		}
		t.add(name, "zipped, MiB", size)
	}
	return t.onSchema(ctx, func(ctx context.Context, s *site) error {
		return s.alternate(ctx, func() {},
			func(ctx context.Context) error { return s.starts(ctx, here) },
			func(ctx context.Context) error { return s.lifetime(ctx, here, "holds") },
			func(ctx context.Context) error { return s.lifetime(ctx, here, "products") })
	})
}

func (s *site) start(ctx context.Context, dir, name string) (*lambdaemu.Function, error) {
	f, err := lambdaemu.Start(ctx, filepath.Join(dir, name), "MYSQL_DSN="+s.adminDSN, "CACHE_ADDR="+s.options.CacheAddr)
	if err != nil {
		return nil, fmt.Errorf("starting the function %s: %w", name, err)
	}
	return f, nil
}

// starts starts each function a few times, by turns.
func (s *site) starts(ctx context.Context, dir string) error {
	times := map[string][]float64{}
	_, err := s.watched(func() error {
		for range s.size(20, 2) {
			for _, name := range functions {
				f, err := s.start(ctx, dir, name)
				if err != nil {
					return err
				}
				times[name] = append(times[name], float64(f.Started)/float64(time.Millisecond))
				f.Stop()
			}
		}
		return nil
	})
	for _, name := range functions {
		s.add(name, "first next, ms", median(times[name]))
	}
	return err
}

// lifetime lets one process of a function serve requests and reads its memory.
func (s *site) lifetime(ctx context.Context, dir, name string) error {
	f, err := s.start(ctx, dir, name)
	if err != nil {
		return err
	}
	defer f.Stop()
	method, path, body, want := http.MethodGet, "/v1/products/"+s.onSale, "", http.StatusOK
	if name == "holds" {
		method, path, body, want = http.MethodPost, "/v1/holds", `{"product_id":"`+s.onSale+`","qty":1}`, http.StatusCreated
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
	full := s.size(10_000, 20)
	for served, next := 0, 0; next <= full; next += full / 2 {
		for ; served < next; served++ {
			text, err := f.Invoke(ctx, event, callTimeout)
			if err != nil {
				return fmt.Errorf("invoking the function %s: %w", name, err)
			}
			var response events.APIGatewayV2HTTPResponse
			if err := json.Unmarshal(text, &response); err != nil || response.StatusCode != want {
				return fmt.Errorf("the function %s returned %s, expected status %d", name, text, want)
			}
		}
		mib, err := memory(f.PID())
		if err != nil {
			return err
		}
		s.add(name, "memory after "+strconv.Itoa(next)+", MiB", mib)
	}
	s.add(name, "growth, second half, %", 100*(s.last(name, "memory after "+strconv.Itoa(full)+", MiB")/s.last(name, "memory after "+strconv.Itoa(full/2)+", MiB")-1))
	return nil
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
