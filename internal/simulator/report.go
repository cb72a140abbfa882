package simulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Schema names the format of the JSON report; it changes when a name in it changes its meaning.
const Schema = "flashsale.rush/1"

// Report is the result of a simulation.
type Report struct {
	Schema      string    `json:"schema"`
	Clean       bool      `json:"clean"` // every invariant holds
	Interrupted bool      `json:"interrupted"`
	StartedAt   time.Time `json:"started_at"`
	URL         string    `json:"url"`
	Product     string    `json:"product_id"`
	Machine     Machine   `json:"machine"`
	Version     string    `json:"version"` // of the command
	Sale        Sale      `json:"sale"`
	SpikeS      float64   `json:"spike_s"`
	DurationS   float64   `json:"duration_s"`
	SpikeShare  float64   `json:"spike_share"`
	PlanDigest  string    `json:"plan_digest"` // of the shoppers: equal for the same seed and sale
	HoldTTLS    float64   `json:"hold_ttl_s"`  // as the server granted it; 0: no shopper got a hold
	WindowS     float64   `json:"payment_window_s"`

	Figures      Figures     `json:"figures"`
	Greedy       Greedy      `json:"greedy"`
	Generator    Generator   `json:"generator"`
	Operations   []Measured  `json:"operations"`
	Outcomes     []Outcome   `json:"outcomes"`
	Invariants   []Check     `json:"invariants"`
	Stock        []Sample    `json:"stock"`
	Moments      []Moment    `json:"moments"`
	BrokenThen   []Finding   `json:"audit_before"` // findings from before the sale, which do not count
	OverallMS    Percentiles `json:"steps_ms"`
	ServerMS     Percentiles `json:"server_ms"`     // of all requests
	ConnectionMS Percentiles `json:"connection_ms"` // of all requests
}

// Figures are the main numbers.
type Figures struct {
	Shoppers     int            `json:"shoppers_came"`
	Requests     int64          `json:"requests"`
	PeakPerS     float64        `json:"peak_requests_per_s"`
	PeakActive   int            `json:"peak_active_shoppers"`
	SoldOutAfter float64        `json:"sold_out_after_s"` // until the first refusal; -1: there was none
	Holds        int            `json:"holds"`
	Orders       int            `json:"orders"`
	UnitsSold    int64          `json:"units_sold"`
	UnitsLeft    int64          `json:"units_left"`
	Deliveries   int            `json:"payment_deliveries"`
	Duplicates   int            `json:"duplicate_deliveries"`
	Replays      int            `json:"replayed_holds"` // responses that replayed the hold of an earlier request
	RefundsDue   int            `json:"refunds_due"`
	Refusals     map[string]int `json:"refusals"` // by code; "no_answer" is for timeouts and shoppers that hung up
	PlayedS      float64        `json:"played_s"` // until the last shopper left
}

// Generator shows how much the machine that plays the shoppers delayed them.
type Generator struct {
	LateMS     Percentiles `json:"late_ms"`    // from the instant at which a request was due to when the simulation got to it
	WaitedMS   Percentiles `json:"waited_ms"`  // then for a connection
	Bottleneck bool        `json:"bottleneck"` // the delays are so long that they distort the times
}

// maxLate is the generator's p99 delay, in milliseconds, above which the report warns.
const maxLate = 50

// Measured is one operation.
type Measured struct {
	Operation    Operation        `json:"operation"`
	StepMS       Percentiles      `json:"step_ms"`       // from when it was due, with the wait for a connection and retries
	ServiceMS    Percentiles      `json:"service_ms"`    // from sending a request to its whole response
	ConnectionMS Percentiles      `json:"connection_ms"` // a request's wait for a connection
	ServerMS     Percentiles      `json:"server_ms"`     // from the end of a request to the first byte of its response
	Answers      map[string]int64 `json:"answers"`       // "ok", a refusal's code, or "no_answer"
}

// Outcome is how the visits of some shoppers ended.
type Outcome struct {
	Name     string `json:"name"`
	Shoppers int    `json:"shoppers"`
}

func (s *simulation) report(began time.Time, played time.Duration, interrupted bool) *Report {
	m := s.meter
	r := &Report{
		Schema: Schema, Interrupted: interrupted, StartedAt: began.UTC().Truncate(time.Millisecond), URL: s.URL, Product: s.Product,
		Machine: thisMachine(), Version: version(), Sale: s.Sale, SpikeS: s.Sale.Spike.Seconds(), DurationS: s.Sale.Duration.Seconds(),
		SpikeShare: SpikeShare, PlanDigest: Digest(s.shoppers), Invariants: s.check(), Stock: s.samples, Moments: m.moments,
		BrokenThen: s.auditBefore, Outcomes: s.outcomes(), Figures: s.figures(), Greedy: s.greed(), OverallMS: m.all.steps.percentiles(),
		ServerMS: m.all.server.percentiles(), ConnectionMS: m.all.waiting.percentiles(),
	}
	r.Generator = Generator{LateMS: m.late.percentiles(), WaitedMS: r.ConnectionMS}
	r.Generator.Bottleneck = r.Generator.LateMS.P99 > maxLate
	r.Figures.PlayedS = played.Seconds()
	r.Clean = len(r.BrokenNames()) == 0
	for _, h := range s.holds() {
		r.HoldTTLS = max(r.HoldTTLS, h.ttl.Seconds())
		r.WindowS = max(r.WindowS, h.window.Seconds())
	}
	for _, op := range operations {
		t := m.byOp[op]
		r.Operations = append(r.Operations, Measured{
			op, t.steps.percentiles(), t.service.percentiles(), t.waiting.percentiles(), t.server.percentiles(), m.answers[op],
		})
	}
	return r
}

func (s *simulation) figures() Figures {
	f := Figures{
		Shoppers: int(s.arrived.Load()), Requests: int64(s.meter.total), PeakPerS: s.meter.peak(), Refusals: s.meter.refusals,
		UnitsSold: s.final.Sold, UnitsLeft: s.final.Available, SoldOutAfter: -1,
	}
	for _, m := range s.meter.moments {
		f.PeakActive = max(f.PeakActive, m.Active)
	}
	first := forever
	for _, a := range s.attempts() {
		for _, r := range a.responses {
			if r.body.Code == "sold_out" {
				first = min(first, r.received)
			}
			if r.replayed {
				f.Replays++
			}
		}
	}
	if first < forever {
		f.SoldOutAfter = first.Seconds()
	}
	for _, h := range s.holds() {
		f.Holds++
		if h.finalOrder.ok() {
			f.Orders++
		}
		if h.finalOrderState() == "refund_due" {
			f.RefundsDue++
		}
		for _, a := range h.actions {
			if a.event != "" {
				f.Deliveries++
			}
			if a.body.Result == "duplicate" {
				f.Duplicates++
			}
		}
	}
	return f
}

// endings are how a visit can end, the best first.
var endings = []string{
	"paid", "refunded", "refund due", "declined", "cancelled the order", "let the order lapse", "order is open",
	"released the hold", "let the hold lapse", "hold is open", "sold out", "only looked", "greedy", "got no response", "did not arrive",
}

func (s *simulation) outcomes() (list []Outcome) {
	counts := map[string]int{}
	for i, b := range s.histories {
		counts[b.ending(s.shoppers[i].Intent)]++
	}
	for _, name := range endings {
		if counts[name] > 0 {
			list = append(list, Outcome{name, counts[name]})
		}
	}
	return list
}

func (b *history) ending(intent Intent) string {
	switch {
	case !b.arrived:
		return "did not arrive"
	case b.greedy:
		return "greedy"
	case intent == OnlyLooks:
		return "only looked"
	}
	for _, a := range b.attempts {
		if a.hold != nil {
			return a.hold.ending()
		}
	}
	if slices.ContainsFunc(b.attempts, (*attempt).refused) {
		return "sold out"
	}
	return "got no response"
}

func (h *hold) ending() string {
	state := h.finalOrderState()
	if state == "cancelled" {
		state = h.finalOrder.body.Reason
	}
	return cmp.Or(map[string]string{
		"paid": "paid", "pending_payment": "order is open", "refund_due": "refund due", "refunded": "refunded",
		"customer": "cancelled the order", "payment_failed": "declined", "payment_timeout": "let the order lapse",
	}[state], map[string]string{
		"released": "released the hold", "expired": "let the hold lapse",
	}[h.finalHold.body.state()], "hold is open")
}

// JSON writes the report for programs.
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
