package simulator

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histograms go from a microsecond to a minute with three digits; what takes longer counts as a minute.
const (
	shortest = int64(1)
	longest  = int64(time.Minute / time.Microsecond)
	digits   = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, digits) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), shortest), longest)) // within the range, so it cannot fail
}

// Percentiles of durations, in milliseconds.
type Percentiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

func percentiles(h *hdrhistogram.Histogram) Percentiles {
	at := func(percent float64) float64 { return float64(h.ValueAtPercentile(percent)) / 1000 }
	return Percentiles{Count: h.TotalCount(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1000}
}

// Moment is what happened in one tick of the sale.
type Moment struct {
	At       float64        `json:"at_s"` // its end, in seconds since the opening
	Requests int            `json:"requests"`
	Answers  map[string]int `json:"answers"` // by operation when it was granted, else by the refusal's code
	P50      float64        `json:"p50_ms"`  // of the steps that ended in it
	P99      float64        `json:"p99_ms"`
}

// meter measures while the rush runs.
type meter struct {
	clock clock
	tick  time.Duration

	mu       sync.Mutex
	steps    map[Operation]*hdrhistogram.Histogram // from when the step was due until it was done
	service  map[Operation]*hdrhistogram.Histogram // from when a request was sent until its answer was there
	late     *hdrhistogram.Histogram               // how much later than due the generator came to send
	waited   *hdrhistogram.Histogram               // for a free connection
	answers  map[Operation]map[string]int64
	now      *hdrhistogram.Histogram // of the current tick
	moment   Moment
	moments  []Moment
	second   *hdrhistogram.Histogram // of the current second, for the live view
	requests int
	refusals map[string]int // since the opening
}

func newMeter(clock clock, tick time.Duration) *meter {
	m := &meter{
		clock: clock, tick: tick, steps: map[Operation]*hdrhistogram.Histogram{}, service: map[Operation]*hdrhistogram.Histogram{},
		answers: map[Operation]map[string]int64{}, late: newHistogram(), waited: newHistogram(), now: newHistogram(),
		second: newHistogram(), moment: Moment{Answers: map[string]int{}}, refusals: map[string]int{},
	}
	for _, op := range operations {
		m.steps[op], m.service[op], m.answers[op] = newHistogram(), newHistogram(), map[string]int64{}
	}
	return m
}

// sent counts a request that came back, with or without an answer. It was due, and the generator had come to it, when
// the given instants came.
func (m *meter) sent(a answer, due, ready time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	record(m.late, ready-due)
	record(m.waited, a.sent-ready)
	word := a.word()
	m.answers[a.op][word]++
	m.requests++
	m.moment.Requests++
	if word == "ok" {
		m.moment.Answers[string(a.op)]++
	} else {
		m.moment.Answers[word]++
		m.refusals[word]++
	}
	if !a.lost() {
		record(m.service[a.op], a.received-a.sent)
	}
}

// stepped records how long a step took from when it was due, with everything that delayed it.
func (m *meter) stepped(op Operation, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	record(m.steps[op], took)
	record(m.now, took)
	record(m.second, took)
}

// cut ends the current tick.
func (m *meter) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moment.At = m.clock.now().Seconds()
	p := percentiles(m.now)
	m.moment.P50, m.moment.P99 = p.P50, p.P99
	m.moments = append(m.moments, m.moment)
	m.moment = Moment{Answers: map[string]int{}}
	m.now.Reset()
}

// glance returns what has happened since the last one.
func (m *meter) glance() (requests int, p Percentiles, refusals map[string]int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	requests, p = m.requests, percentiles(m.second)
	m.requests = 0
	m.second.Reset()
	refusals = make(map[string]int, len(m.refusals))
	for word, n := range m.refusals {
		refusals[word] = n
	}
	return requests, p, refusals
}
