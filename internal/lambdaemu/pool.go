package lambdaemu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// Pool is a Lambda function as its callers see it. Each event in progress has its own process, which is frozen between
// two events, as in Lambda. At most max events are in progress; the others wait, where Lambda would refuse them.
type Pool struct {
	binary string
	env    []string
	places chan struct{}

	mu     sync.Mutex
	idle   []*Function
	all    []*Function
	output string // of processes that have ended
}

// NewPool returns a pool without processes.
func NewPool(binary string, atMost int, env ...string) *Pool {
	return &Pool{binary: binary, env: env, places: make(chan struct{}, atMost)}
}

// Invoke is Function.Invoke on a process without another event.
func (p *Pool) Invoke(ctx context.Context, event any, timeout time.Duration) ([]byte, error) {
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.places }()
	f, err := p.take(ctx)
	if err != nil {
		return nil, err
	}
	result, err := f.Invoke(ctx, event, timeout)
	if errors.Is(err, ErrGone) {
		return nil, err // a new process takes its place
	}
	return result, errors.Join(err, p.give(f))
}

func (p *Pool) take(ctx context.Context) (*Function, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		f := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return f, f.Signal(syscall.SIGCONT)
	}
	f, err := Start(ctx, p.binary, p.env...)
	if err != nil {
		return nil, fmt.Errorf("starting a process: %w", err)
	}
	p.all = append(p.all, f)
	return f, nil
}

func (p *Pool) give(f *Function) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, f)
	return f.Signal(syscall.SIGSTOP)
}

// Output returns everything that the processes have printed.
func (p *Pool) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := p.output
	for _, f := range p.all {
		text += f.Output()
	}
	return text
}

// Stop ends all processes.
func (p *Pool) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.all {
		f.Stop()
		p.output += f.Output()
	}
	p.all, p.idle = nil, nil
}
