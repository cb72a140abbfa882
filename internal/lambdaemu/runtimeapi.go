// Package lambdaemu runs a built Lambda function as Lambda does: as a process that asks the Runtime API for its next
// event and posts the result there. Each [Function] is one process, what Lambda calls an execution environment, with a
// Runtime API of its own on loopback; its [Function.Signal] freezes, thaws and kills it. With AWS_LAMBDA_MAX_CONCURRENCY in its
// environment, a process asks for several events at once, as on Lambda Managed Instances. A [Pool] is a function's processes.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
package lambdaemu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// Function is one process of a function.
type Function struct {
	// Started is the time from exec until the process asked for its first event.
	Started time.Duration

	cmd    *exec.Cmd
	server *http.Server
	out    *lockedBuffer
	ready  chan struct{} // closed at the first request for an event
	once   sync.Once
	begun  time.Time
	exited chan struct{}
	events chan *invocation

	mu      sync.Mutex
	pending map[string]*invocation
}

type invocation struct {
	id       string
	payload  []byte
	deadline time.Time
	result   chan result

	clientContext string // JSON; empty for none
}

type result struct {
	body   []byte
	failed bool // posted to /error
}

// Failure is the error that a function reports for an invocation.
type Failure struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func (f *Failure) Error() string { return f.Type + ": " + f.Message }

// Start starts the binary with nothing but env as its environment, and waits until it asks for an event.
func Start(ctx context.Context, binary string, env ...string) (*Function, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the function: %w", err)
	}
	f := &Function{
		out: &lockedBuffer{}, ready: make(chan struct{}), exited: make(chan struct{}),
		events: make(chan *invocation), pending: map[string]*invocation{},
	}
	const base = "/2018-06-01/runtime/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base+"invocation/next", f.next)
	mux.HandleFunc("POST "+base+"invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) { f.settle(w, r, false) })
	mux.HandleFunc("POST "+base+"invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) { f.settle(w, r, true) })
	f.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = f.server.Serve(listener) }() // ends with Stop

	f.cmd = exec.Command(binary) //nolint:noctx // it ends by Stop, or by the test's signals
	f.cmd.Env = slices.Concat(env, []string{"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String(), "AWS_REGION=eu-west-1", "AWS_LAMBDA_FUNCTION_NAME=test"})
	f.cmd.Stdout, f.cmd.Stderr = f.out, f.out
	f.mu.Lock()
	f.begun = time.Now()
	f.mu.Unlock()
	if err := f.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the function: %w", err), f.server.Close())
	}
	go func() {
		_ = f.cmd.Wait() // its exit code is in ProcessState
		close(f.exited)
	}()
	select {
	case <-f.ready:
		return f, nil
	case <-f.exited:
		err = fmt.Errorf("the function ended: %s: %s", f.cmd.ProcessState, f.Output())
	case <-time.After(startLimit):
		err = errors.New("the function does not ask for an event")
	case <-ctx.Done():
		err = ctx.Err()
	}
	f.Stop()
	return nil, err
}

// next returns the next event, once there is one.
func (f *Function) next(w http.ResponseWriter, r *http.Request) {
	f.once.Do(func() {
		f.mu.Lock()
		f.Started = time.Since(f.begun)
		f.mu.Unlock()
		close(f.ready)
	})
	select {
	case i := <-f.events:
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", i.id)
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:123456789012:function:test")
		w.Header().Set("Lambda-Runtime-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0")
		if i.clientContext != "" {
			w.Header().Set("Lambda-Runtime-Client-Context", i.clientContext)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(i.payload) // fails only if the function has ended, which the test notices
	case <-r.Context().Done():
	}
}

func (f *Function) settle(w http.ResponseWriter, r *http.Request, failed bool) {
	body, err := io.ReadAll(r.Body)
	f.mu.Lock()
	i := f.pending[r.PathValue("id")]
	delete(f.pending, r.PathValue("id"))
	f.mu.Unlock()
	if err != nil || i == nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	i.result <- result{body, failed}
}

type clientContextKey struct{}

// WithClientContext makes invocations carry a client context, as JSON.
func WithClientContext(ctx context.Context, text string) context.Context {
	return context.WithValue(ctx, clientContextKey{}, text)
}

var (
	// ErrGone means that the process ended before it responded.
	ErrGone = errors.New("the function's process is gone")
	// ErrLate means that the function did not respond by its deadline, nor during the grace period after it. A process
	// that was frozen may exceed its deadline by that much.
	ErrLate = errors.New("the function did not respond in time")
)

const (
	grace      = 15 * time.Second
	startLimit = time.Minute
)

// Invoke sends the function an event, as JSON, and returns its response. The function must respond within timeout. If
// it reports an error, Invoke returns a *Failure. A process takes as many events at a time as it asks for; others wait.
func (f *Function) Invoke(ctx context.Context, event any, timeout time.Duration) ([]byte, error) {
	payload, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("writing the event: %w", err)
	}
	caller, _ := ctx.Value(clientContextKey{}).(string)
	i := &invocation{id: uuid.NewString(), payload: payload, clientContext: caller, deadline: time.Now().Add(timeout), result: make(chan result, 1)}
	f.mu.Lock()
	f.pending[i.id] = i
	f.mu.Unlock()
	select {
	case f.events <- i:
	case <-f.exited:
		return nil, ErrGone
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-time.After(timeout + grace):
		return nil, ErrLate
	case a := <-i.result:
		if !a.failed {
			return a.body, nil
		}
		failure := &Failure{}
		if err := json.Unmarshal(a.body, failure); err != nil {
			return nil, fmt.Errorf("reading the function's failure: %w", err)
		}
		return nil, failure
	case <-f.exited:
		return nil, ErrGone
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Signal sends a signal to the process: SIGSTOP freezes it as Lambda does between invocations.
func (f *Function) Signal(s syscall.Signal) error { return f.cmd.Process.Signal(s) }

// PID returns the process id.
func (f *Function) PID() int { return f.cmd.Process.Pid }

// Output returns what the process has printed, which is its log.
func (f *Function) Output() string { return f.out.String() }

// Stop ends the process in any state, and its Runtime API.
func (f *Function) Stop() {
	_ = f.cmd.Process.Signal(os.Kill) // it may have ended
	<-f.exited
	_ = f.server.Close() // nothing is lost
}

// lockedBuffer collects a process's output while a test reads it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
