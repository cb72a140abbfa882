package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Trouble is a failure of a source with a sentence for the page. The sentence has no secrets; the cause is for the log.
type Trouble struct {
	Sentence string
	Cause    error
}

func (t *Trouble) Error() string { return t.Sentence + " " + t.Cause.Error() }

func (t *Trouble) Unwrap() error { return t.Cause }

// The sources, as indexes of Live.troubles.
const (
	sourceStock = iota
	sourceTraffic
)

// Run samples until ctx ends, each source one call at a time. Then it ends all streams.
func (l *Live) Run(ctx context.Context) {
	var sources sync.WaitGroup
	sources.Go(func() { every(ctx, l.options.StockEvery, l.nudge, func() { l.sampleStock(ctx) }) })
	sources.Go(func() { every(ctx, l.options.TrafficEvery, nil, func() { l.sampleTraffic(ctx) }) })
	<-ctx.Done()
	l.endStreams()
	sources.Wait()
}

// every calls do at once, at every interval, and when nudged, until ctx ends. A slow call delays the next one.
func every(ctx context.Context, interval time.Duration, nudge <-chan struct{}, do func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		do()
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-nudge:
		}
	}
}

func (l *Live) sampleStock(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	o, err := l.options.Operator.Overview(limited)
	if ctx.Err() != nil {
		return
	}
	l.report(ctx, sourceStock, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if l.state == nil {
			l.state = new(stateOf(o, l.broken, nil, time.Time{}))
			l.state.At = 0 // so that the page does not take no figures for no debts
		}
		l.state.Trouble = l.trouble() // the figures stay those of l.state.At
		l.publish("state", l.state)
		return
	}
	l.overview = o
	var findings []ledger.Finding
	if l.options.Findings != nil {
		findings = l.options.Findings()
	}
	s := stateOf(o, l.broken, findings, time.Now())
	s.Trouble = l.trouble()
	l.state = &s
	sample := sampleOf(s)
	l.stock = append(since(l.stock, s.At-kept.Milliseconds(), func(s StockSample) int64 { return s.At }), sample)
	l.publish("stock", sample)
	l.publish("state", s)
}

func (l *Live) sampleTraffic(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := l.options.Traffic.Read(limited)
	if ctx.Err() != nil {
		return
	}
	l.report(ctx, sourceTraffic, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = r.Broken
	oldest := time.Now().Add(-kept).UnixMilli()
	at := func(s TrafficSample) int64 { return s.At }
	l.traffic = since(append(l.traffic, r.Samples...), oldest, at)
	for _, s := range r.Samples {
		l.publish("traffic", s)
	}
}

// since drops the samples before a time. The slice moves, so that what was dropped is freed.
func since[T any](samples []T, oldest int64, at func(T) int64) []T {
	i := 0
	for i < len(samples) && at(samples[i]) < oldest {
		i++
	}
	return append([]T(nil), samples[i:]...)
}

// report keeps the trouble of a source, and logs each change of it once.
func (l *Live) report(ctx context.Context, source int, err error) {
	sentence := ""
	if err != nil {
		sentence = sentenceOf(source, err)
	}
	l.mu.Lock()
	before := l.troubles[source]
	l.troubles[source] = sentence
	l.mu.Unlock()
	switch {
	case before == sentence:
	case err != nil:
		l.options.Logger.WarnContext(ctx, "the page /live cannot show everything", "trouble", sentence, "cause", err.Error())
	default:
		l.options.Logger.InfoContext(ctx, "the page /live shows this again", "trouble_before", before)
	}
}

// sentenceOf tells an operator what is missing. The cause, which may name hosts and accounts, is in the log.
func sentenceOf(source int, err error) string {
	var trouble *Trouble
	switch {
	case errors.As(err, &trouble):
		return trouble.Sentence
	case errors.Is(err, admin.ErrOldFunction):
		return "The stack runs an earlier release, which this page cannot read: deploy this release first."
	case checkout.CodeOf(err) == checkout.CodeBusy:
		return "The database is busy or cannot be reached."
	case source == sourceTraffic:
		return "The requests cannot be measured; the log has the cause."
	}
	return "The stock and the orders cannot be read; the log has the cause."
}

// trouble joins the sentences of all sources.
func (l *Live) trouble() string { return strings.TrimSpace(strings.Join(l.troubles[:], " ")) }

// encode makes an event of the stream.
func encode(name string, data any) []byte {
	text, err := json.Marshal(data)
	if err != nil { // NaN or infinity, which is never measured
		return nil
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, text)
}
