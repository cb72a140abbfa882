package lambdaemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Pool is a Lambda function as its callers see it. A limited number of events are in progress; the others wait, where Lambda
// would refuse them.
type Pool struct {
	binary    string
	env       []string
	places    chan struct{}
	processes int // that share the events; 0: each event in progress has its own process

	mu     sync.Mutex
	idle   []*Function
	shared map[*Function]int // events in progress of each process that takes several
	all    []*Function
	output string // of processes that have ended
}

// NewPool returns a pool without processes. Each event in progress has its own process, which is frozen between two events, as
// in Lambda.
func NewPool(binary string, atMost int, env ...string) *Pool {
	return &Pool{binary: binary, env: env, places: make(chan struct{}, atMost)}
}

// NewManagedPool returns a pool like NewPool, but as on Lambda Managed Instances: each of its processes takes up to concurrency
// events at a time, and is never frozen.
func NewManagedPool(binary string, processes, concurrency int, env ...string) *Pool {
	p := NewPool(binary, processes*concurrency, slices.Concat(env, []string{"AWS_LAMBDA_MAX_CONCURRENCY=" + strconv.Itoa(concurrency)})...)
	p.processes, p.shared = processes, map[*Function]int{}
	return p
}

// Invoke is Function.Invoke on a process that has a place for the event.
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
	return result, errors.Join(err, p.give(f, errors.Is(err, ErrGone)))
}

func (p *Pool) take(ctx context.Context) (*Function, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.processes > 0 && len(p.shared) == p.processes {
		least := slices.MinFunc(p.all, func(a, b *Function) int { return cmp.Compare(p.shared[a], p.shared[b]) })
		p.shared[least]++
		return least, nil
	}
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
	if p.processes > 0 {
		p.shared[f]++
	}
	return f, nil
}

// give returns a process after an event. A new process takes the place of one that is gone.
func (p *Pool) give(f *Function, gone bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if gone {
		if at := slices.Index(p.all, f); at >= 0 {
			p.all = slices.Delete(p.all, at, at+1)
			f.Stop() // its Runtime API is still there
			p.output += f.Output()
		}
		delete(p.shared, f)
		return nil
	}
	if p.processes > 0 {
		p.shared[f]--
		return nil
	}
	p.idle = append(p.idle, f)
	return f.Signal(syscall.SIGSTOP)
}

// Processes returns the processes that have started and are not known to be gone.
func (p *Pool) Processes() []*Function {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
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
	clear(p.shared)
}
