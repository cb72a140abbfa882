package simulator

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// timings are durations in microseconds. They are all kept, so percentiles are exact; at four bytes each, a sale of
// 20,000 shoppers needs a few megabytes.
type timings []uint32

func (t *timings) add(d time.Duration) {
	*t = append(*t, uint32(min(max(d.Microseconds(), 0), math.MaxUint32)))
}

// Percentiles of durations, in milliseconds, by the nearest-rank method.
type Percentiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

func (t timings) percentiles() Percentiles {
	if len(t) == 0 {
		return Percentiles{}
	}
	sorted := slices.Sorted(slices.Values(t))
	at := func(permille int) float64 { // in whole numbers, because 0.999 × 1000 is not 999 in floating point
		rank := (len(sorted)*permille + 999) / 1000
		return float64(sorted[rank-1]) / 1000
	}
	return Percentiles{Count: int64(len(t)), P50: at(500), P90: at(900), P99: at(990), P999: at(999), Max: at(1000)}
}

// Moment is one tick of the sale.
type Moment struct {
	At       float64        `json:"at_s"` // its end, in seconds since the opening
	Active   int            `json:"active_shoppers"`
	Requests int            `json:"requests"`
	Answers  map[string]int `json:"answers"` // by operation if it was granted, else by the refusal's code
	P50      float64        `json:"p50_ms"`  // of the steps that ended in the tick
	P99      float64        `json:"p99_ms"`

	ServerP50  float64 `json:"server_p50_ms"` // of the requests that ended in the tick
	ServerP99  float64 `json:"server_p99_ms"`
	WaitingP50 float64 `json:"connection_p50_ms"`
	WaitingP99 float64 `json:"connection_p99_ms"`
}

// measured are the timings of one operation, or of all of them.
type measured struct {
	steps   timings // from the instant at which a step was due to its end
	service timings // from sending a request to the whole response
	waiting timings // for a connection
	server  timings // from the end of a request to the first byte of its response
}

// meter measures a sale in progress.
type meter struct {
	clock clock
	tick  time.Duration

	mu       sync.Mutex
	all      measured
	byOp     map[Operation]*measured
	late     timings // from the instant at which a request was due to when the simulation got to it
	answers  map[Operation]map[string]int64
	refusals map[string]int // since the opening
	total    int            // requests since the opening
	moment   Moment
	current  measured // of the moment
	moments  []Moment
	shown    int     // requests at the last progress report
	recent   timings // steps since then
}

func newMeter(clock clock, tick time.Duration) *meter {
	m := &meter{
		clock: clock, tick: tick, byOp: map[Operation]*measured{}, answers: map[Operation]map[string]int64{},
		refusals: map[string]int{}, moment: Moment{Answers: map[string]int{}},
	}
	for _, op := range operations {
		m.byOp[op], m.answers[op] = &measured{}, map[string]int64{}
	}
	return m
}

// tickOf limits the number of points in a chart.
func tickOf(duration time.Duration) time.Duration {
	return max(250*time.Millisecond, (duration / 200).Round(250*time.Millisecond))
}

// request records a request that has ended. It was due at one instant, and the simulation was ready to send it at another.
func (m *meter) request(a response, due, ready time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.late.add(ready - due)
	for _, to := range []*measured{&m.all, m.byOp[a.op], &m.current} {
		to.waiting.add(a.sent - ready + a.timing.connecting)
		if !a.lost() {
			to.service.add(a.received - a.sent)
			to.server.add(a.timing.server)
		}
	}
	word := a.outcome()
	m.answers[a.op][word]++
	m.total++
	m.moment.Requests++
	if word == "ok" {
		m.moment.Answers[string(a.op)]++
	} else {
		m.moment.Answers[word]++
		m.refusals[word]++
	}
}

// step records how long a step took from the instant at which it was due, including every delay.
func (m *meter) step(op Operation, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, to := range []*timings{&m.all.steps, &m.byOp[op].steps, &m.current.steps, &m.recent} {
		to.add(took)
	}
}

// cut ends the current tick.
func (m *meter) cut(active int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	steps, server, waiting := m.current.steps.percentiles(), m.current.server.percentiles(), m.current.waiting.percentiles()
	m.moment.At, m.moment.Active = m.clock.now().Seconds(), active
	m.moment.P50, m.moment.P99 = steps.P50, steps.P99
	m.moment.ServerP50, m.moment.ServerP99 = server.P50, server.P99
	m.moment.WaitingP50, m.moment.WaitingP99 = waiting.P50, waiting.P99
	m.moments = append(m.moments, m.moment)
	m.moment, m.current = Moment{Answers: map[string]int{}}, measured{}
}

// peak is the highest rate of requests per second in a tick.
func (m *meter) peak() (perSecond float64) {
	from := 0.0
	for _, moment := range m.moments {
		perSecond = max(perSecond, float64(moment.Requests)/max(moment.At-from, m.tick.Seconds()))
		from = moment.At
	}
	return perSecond
}

// progress returns the requests and the steps since the last call, and all refusals.
func (m *meter) progress() (requests int, steps Percentiles, refusals map[string]int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	requests, steps = m.total-m.shown, m.recent.percentiles()
	m.shown, m.recent = m.total, nil
	return requests, steps, maps.Clone(m.refusals)
}
