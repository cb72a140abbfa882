// Package bench measures the checkout and writes down what it found. An [Experiment] compares a few cases on the
// servers of a [Run] and returns a [Result]: tables, charts, and claims that are reached or not. A [Page] keeps the
// results of all experiments, each in a JSON file of its own, and renders the document from them, so that one figure can
// be measured again by itself.
//
// Machines are noisy. So every case runs once in each round, one after the other, a figure is the median over the rounds,
// and a ratio is taken within a round, of two runs that are neighbours in time, before its median is taken: [Figures].
package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Experiment is one question to the machine.
type Experiment struct {
	Name  string // on the command line, and of its files
	Title string
	Run   func(ctx context.Context, r *Run) (*Result, error)
}

// Experiments are all there are, in the order of the document.
var Experiments = []Experiment{
	{"hot", "Hot product: the ledger", runHot},
	{"http", "Holds over HTTP", runHTTP},
	{"soldout", "Sold out", runSoldOut},
	{"reads", "Product reads", runReads},
	{"expiry", "Expiry", runExpiry},
	{"payments", "Payments", runPayments},
	{"function", "A Lambda function", runFunction},
}

// Find returns the experiments with the given names, in the order of the document; all for none.
func Find(names ...string) ([]Experiment, error) {
	if len(names) == 0 {
		return Experiments, nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	var found []Experiment
	for _, e := range Experiments {
		if wanted[e.Name] {
			found = append(found, e)
			delete(wanted, e.Name)
		}
	}
	for name := range wanted {
		return nil, fmt.Errorf("there is no experiment %q", name)
	}
	return found, nil
}

// Database is a server to measure on.
type Database struct {
	DSN   string // an administrator's; the name in it is not used: every experiment makes databases of its own
	Label string // such as "MariaDB 10.11.14": what the server says it is
	Setup string // those of its settings that a figure depends on
}

// Server is a running `flashsale run`.
type Server struct {
	URL  string
	PID  int
	Stop func() error
}

// Run is what experiments are run with.
type Run struct {
	Databases []Database // at least one
	CacheAddr string
	// Serve starts a checkout's server with these environment variables (NAME=value) added. ctx bounds the start only.
	Serve  func(ctx context.Context, variables ...string) (*Server, error)
	Rounds int
	// Tiny makes everything as short and as small as it can be and still work: to see that it does, not to measure.
	Tiny bool
	Log  func(format string, args ...any) // tells a person what is going on
}

// length is how long one case runs in one round, and warmUp how long before.
func (r *Run) length(full time.Duration) time.Duration {
	if r.Tiny {
		return 300 * time.Millisecond
	}
	return full
}

func (r *Run) warmUp() time.Duration { return r.length(time.Second) / 2 }

// size is how much of something there is.
func (r *Run) size(full, tiny int) int {
	if r.Tiny {
		return tiny
	}
	return full
}

// onEach runs do on each database, with a schema of its own that is dropped afterwards.
func (r *Run) onEach(ctx context.Context, do func(ctx context.Context, d Database, s *schema) error) error {
	for _, d := range r.Databases {
		if err := r.on(ctx, d, do); err != nil {
			return fmt.Errorf("%s: %w", d.Label, err)
		}
	}
	return nil
}

func (r *Run) on(ctx context.Context, d Database, do func(ctx context.Context, d Database, s *schema) error) (err error) {
	s, err := newSchema(ctx, d.DSN)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.drop()) }()
	return do(ctx, d, s)
}

// productID makes an id that no cache has an entry of.
func productID() string {
	return "bench-" + strings.TrimPrefix(newID().HoldID(), "hold_")
}
