package bench

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"flashsale/internal/lambdaemu"
)

var functionNames = []string{"products", "holds", "orders", "webhook", "expire", "admin"}

const (
	mib           = 1 << 20
	zipLimit      = 5 // MiB; make size refuses more
	growthAllowed = 10
	invokeLimit   = 10 * time.Second
)

// served are the requests whose functions are looked at while they serve.
var served = []string{"holds", "products"}

// runFunction is experiment 7: what a function costs that has just started, and whether it costs more the longer it lives.
func runFunction(ctx context.Context, r *Run) (*Result, error) {
	out := &Result{
		About: []string{
			"The functions as they are deployed, each a process with a Runtime API of its own (`pkg/runtimeapi`), on " + r.Databases[0].Label + ". " +
				"*First next*: from exec until the process asks for its first event. *Zipped*: the binary for the processor of the template's " +
				"default, compressed as SAM does.",
			"*Memory* is what the process has in memory (RSS) of one that serves one kind of request after another: `POST /v1/holds` or " +
				"`GET /v1/products/{id}`. *At rest*: started, and waiting for its first event.",
			"*Allocations* are those of the whole handler, from the gateway's event to its answer, ledger and cache included " +
				"(`runtime.MemStats` of the load generator's process around `lambdaserver.HTTP.Invoke`).",
		},
		Figures: Figures{},
	}
	if err := r.on(ctx, r.Databases[0], func(ctx context.Context, _ Database, s *schema) error { return r.allocations(ctx, out, s) }); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "flashsale-bench")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the functions: %w", err)
	}
	err = r.functions(ctx, out, dir)
	return out, errors.Join(err, os.RemoveAll(dir))
}

// functions measures the binaries; without a way to build them that is left out.
func (r *Run) functions(ctx context.Context, out *Result, dir string) error {
	r.Log("building the functions")
	here, deployed := filepath.Join(dir, runtime.GOARCH), filepath.Join(dir, "arm64")
	architectures := []string{runtime.GOARCH, "arm64"}
	if r.Tiny { // another processor's takes minutes to build where nobody has built it before
		architectures, deployed = architectures[:1], here
	}
	for _, architecture := range architectures {
		into := filepath.Join(dir, architecture)
		if err := os.MkdirAll(into, 0o700); err != nil {
			return fmt.Errorf("making a directory for the functions: %w", err)
		}
		if err := lambdaemu.Build(ctx, into, architecture); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			out.LeftOut = append(out.LeftOut, say("start, size and memory of the functions, since they cannot be built here: it takes Go and the source tree (%s)", oneLine(err)))
			return nil
		}
	}
	f := out.Figures
	for _, name := range functionNames {
		size, zipped, err := zippedSize(filepath.Join(deployed, name))
		if err != nil {
			return err
		}
		f.Add("binary", size, name)
		f.Add("zipped", zipped, name)
	}
	return r.on(ctx, r.Databases[0], func(ctx context.Context, _ Database, s *schema) error {
		env := []string{"MYSQL_DSN=" + s.adminDSN, "CACHE_ADDR=" + r.CacheAddr}
		for range r.Rounds {
			if err := r.starts(ctx, f, here, env); err != nil {
				return err
			}
			for _, name := range served {
				if err := r.lifetime(ctx, s, f, here, name, env); err != nil {
					return err
				}
			}
		}
		functionReport(out, filepath.Base(deployed), r.checkpoints())
		return nil
	})
}

// starts starts each function a few times, by turns.
func (r *Run) starts(ctx context.Context, f Figures, dir string, env []string) error {
	times := map[string][]Value{}
	for range r.size(20, 2) {
		for _, name := range functionNames {
			p, err := lambdaemu.Start(ctx, filepath.Join(dir, name), env...)
			if err != nil {
				return fmt.Errorf("the function %s: %w", name, err)
			}
			times[name] = append(times[name], Value(ms(p.Started)))
			p.Stop()
		}
	}
	for name, t := range times {
		f.Add("start", float64(median(t)), name)
	}
	return nil
}

// checkpoints are after how many requests the memory is looked at.
func (r *Run) checkpoints() []int {
	if r.Tiny {
		return []int{0, 1, 10, 20}
	}
	return []int{0, 1, 100, 1000, 2500, 5000, 7500, 10_000}
}

// lifetime lets one process of a function serve, and looks at its memory.
func (r *Run) lifetime(ctx context.Context, s *schema, f Figures, dir, name string, env []string) error {
	product := productID()
	if err := s.product(ctx, product, fullStock); err != nil {
		return err
	}
	p, err := lambdaemu.Start(ctx, filepath.Join(dir, name), env...)
	if err != nil {
		return fmt.Errorf("the function %s: %w", name, err)
	}
	defer p.Stop()
	event, want, err := eventFor(ctx, name, product)
	if err != nil {
		return err
	}
	requests := 0
	for _, until := range r.checkpoints() {
		for ; requests < until; requests++ {
			answer, err := p.Invoke(ctx, event, invokeLimit)
			if err != nil {
				return fmt.Errorf("the function %s: %w", name, err)
			}
			var response events.APIGatewayV2HTTPResponse
			if err := json.Unmarshal(answer, &response); err != nil || response.StatusCode != want {
				return fmt.Errorf("the function %s answered %s, expected %d", name, answer, want)
			}
		}
		bytes, err := memory(p.PID())
		if err != nil {
			return err
		}
		f.Add("memory", float64(bytes)/mib, name, strconv.Itoa(until))
	}
	return nil
}

// eventFor makes the gateway's event of the request that a function is measured with, and says which status it gets.
func eventFor(ctx context.Context, name, product string) (events.APIGatewayV2HTTPRequest, int, error) {
	method, path, body, want := http.MethodGet, "/v1/products/"+product, "", http.StatusOK
	if name == "holds" {
		method, path, body, want = http.MethodPost, "/v1/holds", `{"product_id":"`+product+`","qty":1}`, http.StatusCreated
	}
	request, err := http.NewRequestWithContext(ctx, method, "https://api.example"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return events.APIGatewayV2HTTPRequest{}, 0, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	request.RemoteAddr = "192.0.2.1:1234"
	event, err := lambdaemu.Event(request)
	return event, want, err
}

// zippedSize returns the size of a file, plain and compressed, in MiB.
func zippedSize(path string) (size, zipped float64, err error) {
	file, err := os.Open(path) //nolint:gosec // G304: built a moment ago
	if err != nil {
		return 0, 0, fmt.Errorf("looking at a function's size: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	counted := &counter{}
	packer, err := flate.NewWriter(counted, flate.DefaultCompression) // the level of SAM's zip
	if err != nil {
		return 0, 0, err
	}
	n, err := io.Copy(packer, file)
	if err = errors.Join(err, packer.Close()); err != nil {
		return 0, 0, fmt.Errorf("looking at a function's size: %w", err)
	}
	return float64(n) / mib, float64(counted.n) / mib, nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// functionReport tells what was measured of the processes.
func functionReport(out *Result, architecture string, checkpoints []int) {
	f := out.Figures
	t := Table{
		Title: say("The functions (zipped for %s)", architecture), Labels: []string{"function"},
		Columns: []Column{{"first next", Milliseconds}, {"binary", MiB}, {"zipped", MiB}},
	}
	largest := Value(0)
	for _, name := range functionNames {
		zipped := f.Median("zipped", name)
		largest = max(largest, zipped)
		t.Add([]string{name}, f.Median("start", name), f.Median("binary", name), zipped)
	}
	out.Claims = append(out.Claims, Claim{Text: "the largest function, zipped", Wanted: zipLimit, AtMost: true, Unit: MiB}.by(largest))

	last, half := checkpoints[len(checkpoints)-1], checkpoints[len(checkpoints)-3]
	grown := Table{Title: "Memory by requests served", Labels: []string{"function"}}
	chart := Chart{Name: "memory", Title: "Memory of a function by requests served", X: "requests", Y: "MiB"}
	for _, n := range checkpoints {
		head := strconv.Itoa(n)
		if n == 0 {
			head = "at rest"
		}
		grown.Columns = append(grown.Columns, Column{head, MiB})
	}
	for _, name := range served {
		var values []Value
		series := Series{Name: name}
		for _, n := range checkpoints {
			v := f.Median("memory", name, strconv.Itoa(n))
			values = append(values, v)
			series.Points = append(series.Points, Point{Value(n), v})
		}
		grown.Add([]string{name}, values...)
		chart.Series = append(chart.Series, series)
		out.Claims = append(out.Claims, Claim{
			Text:   say("growth of the function %s from %s to %s requests", name, digits(float64(half)), digits(float64(last))),
			Wanted: growthAllowed, AtMost: true, Unit: Percent,
		}.by(growth(f.Get("memory", name, strconv.Itoa(half)), f.Get("memory", name, strconv.Itoa(last)))...))
	}
	out.Tables = slices.Concat([]Table{t, grown}, out.Tables)
	out.Charts = []Chart{chart}
}

// oneLine keeps an error from tearing a list.
func oneLine(err error) string {
	text, _, _ := bytes.Cut([]byte(err.Error()), []byte("\n"))
	return string(text)
}

// growth is by how much memory has grown, in percent, a value a round.
func growth(before, after []Value) []Value {
	return pairs(before, after, func(before, after Value) Value { return 100 * (after - before) / before })
}
