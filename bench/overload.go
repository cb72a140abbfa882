package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// overloads are the arrival rates, as multiples of the rate of 64 callers in a closed loop.
var overloads = []float64{0.5, 1, 2}

func overloadCase(share float64) string { return fmt.Sprintf("%g × the closed loop's rate", share) }

// runOverload sends holds of one product at a fixed rate, whatever the server does. Times count from when a request was due.
func runOverload(ctx context.Context, t *trial) error {
	return t.onServer(ctx, func(ctx context.Context, s *site) error {
		body := []byte(`{"product_id":"` + s.onSale + `","qty":1}`)
		send := s.client(callers)
		closedLoop := s.measured("closed loop, 64 callers", callers, func(context.Context) error {
			return send(http.StatusCreated, http.MethodPost, "/v1/holds", body, nil)
		})
		cases := []func(context.Context) error{closedLoop}
		for _, share := range overloads {
			cases = append(cases, func(ctx context.Context) error {
				if s.find("closed loop, 64 callers", "calls/s").Rounds == nil {
					if err := closedLoop(ctx); err != nil { // a round may start here
						return err
					}
				}
				return s.overload(ctx, overloadCase(share), share*s.last("closed loop, 64 callers", "calls/s"), body)
			})
		}
		if err := s.alternate(ctx, func() {}, cases...); err != nil {
			return err
		}
		return s.mustBeClean(ctx)
	})
}

// maxOpen limits the open requests. At the limit a request counts as not sent.
const maxOpen = 4096

// overload measures one rate of arrivals.
func (s *site) overload(ctx context.Context, name string, rate float64, body []byte) error {
	client := &fasthttp.HostClient{Addr: s.addr, MaxConns: maxOpen}
	defer client.CloseIdleConnections()
	all := newCalls()
	var busy, failed, notSent, open atomic.Int64
	one := func(due time.Time) {
		defer open.Add(-1)
		request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		defer fasthttp.ReleaseRequest(request)
		defer fasthttp.ReleaseResponse(response)
		request.SetRequestURI("http://" + s.addr + "/v1/holds")
		request.Header.SetMethod(http.MethodPost)
		request.Header.SetContentType("application/json")
		request.SetBodyRaw(body)
		err := client.DoTimeout(request, response, 10*time.Second)
		switch {
		case err != nil:
			failed.Add(1)
		case response.StatusCode() == http.StatusCreated:
			all.add(time.Since(due), nil)
		default:
			busy.Add(1)
		}
	}
	var running sync.WaitGroup
	start, length := time.Now(), s.length(caseLength)
	sent := 0
	for now := start; now.Sub(start) < length && ctx.Err() == nil; now = time.Now() {
		for ; float64(sent) < now.Sub(start).Seconds()*rate; sent++ {
			if open.Add(1) > maxOpen {
				open.Add(-1)
				notSent.Add(1)
				continue
			}
			due := start.Add(time.Duration(float64(sent) / rate * float64(time.Second)))
			running.Go(func() { one(due) })
		}
		time.Sleep(time.Millisecond)
	}
	running.Wait()
	took := time.Since(start)
	got, err := all.sample(took)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.add(name, "arrivals/s", rate)
	s.add(name, "accepted/s", got.rate)
	s.add(name, "p50, ms", got.p50)
	s.add(name, "p99, ms", got.p99)
	share := func(n *atomic.Int64) float64 { return 100 * float64(n.Load()) / float64(max(sent, 1)) }
	s.add(name, "busy, %", share(&busy))
	s.add(name, "failed, %", share(&failed))
	s.add(name, "not sent, %", share(&notSent))
	return ctx.Err()
}
