package simulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Schema names the form of the report as JSON; it changes when a name in it changes its meaning.
const Schema = "flashsale.rush/1"

// Report is everything that a rush showed.
type Report struct {
	Schema      string    `json:"schema"`
	Clean       bool      `json:"clean"` // every invariant holds
	Interrupted bool      `json:"interrupted"`
	StartedAt   time.Time `json:"started_at"`
	URL         string    `json:"url"`
	Product     string    `json:"product_id"`
	Sale        Sale      `json:"sale"`
	SpikeS      float64   `json:"spike_s"`
	DurationS   float64   `json:"duration_s"`
	SpikeShare  float64   `json:"spike_share"`
	PlanDigest  string    `json:"plan_digest"` // of the shoppers: the same seed and sale have the same
	HoldTTLS    float64   `json:"hold_ttl_s"`  // as the server granted it; 0: nobody got a hold
	WindowS     float64   `json:"payment_window_s"`

	Figures    Figures     `json:"figures"`
	Generator  Generator   `json:"generator"`
	Operations []Measured  `json:"operations"`
	Outcomes   []Outcome   `json:"outcomes"`
	Invariants []Check     `json:"invariants"`
	Stock      []Sample    `json:"stock"`
	Moments    []Moment    `json:"moments"`
	BrokenThen []Finding   `json:"audit_before"` // what the audit had found before the sale: not this sale's doing
	OverallMS  Percentiles `json:"steps_ms"`
}

// Figures are the numbers that a person asks for first.
type Figures struct {
	Shoppers     int            `json:"shoppers_came"`
	Requests     int64          `json:"requests"`
	PeakPerS     float64        `json:"peak_requests_per_s"`
	SoldOutAfter float64        `json:"sold_out_after_s"` // when the first was refused; -1: nobody was
	Holds        int            `json:"holds"`
	Orders       int            `json:"orders"`
	UnitsSold    int64          `json:"units_sold"`
	UnitsLeft    int64          `json:"units_left"`
	Deliveries   int            `json:"payment_deliveries"`
	Duplicates   int            `json:"duplicate_deliveries"`
	Replays      int            `json:"replayed_holds"` // answers that showed the hold of an earlier request with the same key
	RefundsDue   int            `json:"refunds_due"`
	Refusals     map[string]int `json:"refusals"` // by code, with "no_answer" for what timed out or was hung up on
	PlayedS      float64        `json:"played_s"` // until the last shopper had gone
}

// Generator says how late the machine that played the shoppers was itself.
type Generator struct {
	LateMS     Percentiles `json:"late_ms"`    // from when a request was due until the generator came to it
	WaitedMS   Percentiles `json:"waited_ms"`  // then for one of the connections
	Bottleneck bool        `json:"bottleneck"` // it was so late that the latencies are its own as well
}

// tooLate is how late the generator may be, 99 times in 100, before the report says so: in milliseconds.
const tooLate = 50

// Measured is one operation.
type Measured struct {
	Operation Operation        `json:"operation"`
	StepMS    Percentiles      `json:"step_ms"`    // from when it was due: with the wait for a connection, and repeats
	ServiceMS Percentiles      `json:"service_ms"` // from when a request was sent
	Answers   map[string]int64 `json:"answers"`    // "ok", a refusal's code, or "no_answer"
}

// Outcome is how the visits of some shoppers ended.
type Outcome struct {
	Name     string `json:"name"`
	Shoppers int    `json:"shoppers"`
}

func (r *rush) report(began time.Time, played time.Duration, interrupted bool, audit []Finding) *Report {
	report := &Report{
		Schema: Schema, Interrupted: interrupted, StartedAt: began.UTC().Truncate(time.Millisecond), URL: r.URL, Product: r.Product, Sale: r.Sale,
		SpikeS: r.Sale.Spike.Seconds(), DurationS: r.Sale.Duration.Seconds(), SpikeShare: SpikeShare, PlanDigest: Digest(r.shoppers),
		Invariants: r.check(audit), Stock: r.observer.all(), Moments: r.meter.moments, BrokenThen: r.before,
		Outcomes: r.outcomes(), Figures: r.figures(), OverallMS: r.meter.overall(),
		Generator: Generator{LateMS: percentiles(r.meter.late), WaitedMS: percentiles(r.meter.waited)},
	}
	report.Generator.Bottleneck = report.Generator.LateMS.P99 > tooLate
	report.Figures.PlayedS = played.Seconds()
	report.Clean = !slices.ContainsFunc(report.Invariants, func(c Check) bool { return !c.Holds })
	for _, h := range r.holds() {
		report.HoldTTLS = max(report.HoldTTLS, h.ttl.Seconds())
		report.WindowS = max(report.WindowS, h.window.Seconds())
	}
	for _, op := range operations {
		report.Operations = append(report.Operations, Measured{op, percentiles(r.meter.steps[op]), percentiles(r.meter.service[op]), r.meter.answers[op]})
	}
	return report
}

// overall merges the steps of all operations.
func (m *meter) overall() Percentiles {
	all := newHistogram()
	for _, h := range m.steps {
		all.Merge(h)
	}
	return percentiles(all)
}

func (r *rush) figures() Figures {
	f := Figures{
		Shoppers: int(r.arrived.Load()), Refusals: r.meter.refusals, UnitsSold: r.counters.Sold, UnitsLeft: r.counters.Available, SoldOutAfter: -1,
	}
	first := forever
	for _, a := range r.attempts() {
		for i := range a.answers {
			if a.answers[i].body.Code == "sold_out" {
				first = min(first, a.answers[i].received)
			}
			if a.answers[i].replayed {
				f.Replays++
			}
		}
	}
	if first < forever {
		f.SoldOutAfter = first.Seconds()
	}
	for _, h := range r.holds() {
		f.Holds++
		if h.finalOrder.ok() {
			f.Orders++
		}
		if h.finalOrder.body.state() == "refund_due" {
			f.RefundsDue++
		}
		for i := range h.acts {
			if a := &h.acts[i]; a.event != "" {
				f.Deliveries++
				if a.body.Result == "duplicate" {
					f.Duplicates++
				}
			}
		}
	}
	for _, answers := range r.meter.answers {
		for _, n := range answers {
			f.Requests += n
		}
	}
	from := 0.0
	for _, m := range r.meter.moments {
		if m.At > from {
			f.PeakPerS = max(f.PeakPerS, float64(m.Requests)/max(m.At-from, r.meter.tick.Seconds()))
		}
		from = m.At
	}
	return f
}

// endings are how a visit can end, the best first.
var endings = []string{
	"paid", "refunded", "refund due", "declined", "cancelled the order", "let the order lapse", "order is open",
	"released the hold", "let the hold lapse", "hold is open", "sold out", "only looked", "got no answer", "did not come",
}

func (r *rush) outcomes() []Outcome {
	counts := map[string]int{}
	for i, b := range r.books {
		counts[b.ending(r.shoppers[i].Intent)]++
	}
	var list []Outcome
	for _, name := range endings {
		if counts[name] > 0 {
			list = append(list, Outcome{name, counts[name]})
		}
	}
	return list
}

func (b *book) ending(intent Intent) string {
	if !b.arrived {
		return "did not come"
	}
	if intent == OnlyLooks {
		return "only looked"
	}
	refused := false
	for _, a := range b.attempts {
		if a.hold != nil {
			return a.hold.ending()
		}
		for i := range a.answers {
			refused = refused || a.answers[i].body.Code == "sold_out"
		}
	}
	if refused {
		return "sold out"
	}
	return "got no answer"
}

func (h *hold) ending() string {
	switch h.finalOrder.body.state() + " " + h.finalOrder.body.Reason {
	case "paid ":
		return "paid"
	case "pending_payment ":
		return "order is open"
	case "cancelled customer":
		return "cancelled the order"
	case "cancelled payment_failed":
		return "declined"
	case "cancelled payment_timeout":
		return "let the order lapse"
	}
	switch {
	case h.finalOrder.body.state() == "refund_due":
		return "refund due"
	case h.finalOrder.body.state() == "refunded":
		return "refunded"
	case h.finalHold.body.state() == "released":
		return "released the hold"
	case h.finalHold.body.state() == "expired":
		return "let the hold lapse"
	}
	return "hold is open"
}

// JSON writes the report for a program.
func (r *Report) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the report as JSON: %w", err)
	}
	return append(text, '\n'), nil
}

// BrokenNames lists the invariants that do not hold.
func (r *Report) BrokenNames() (names []string) {
	for _, c := range r.Invariants {
		if !c.Holds {
			names = append(names, c.Name)
		}
	}
	return names
}
