package checkout

// MetricKind says how a metric is read.
type MetricKind int

// The kinds of metrics.
const (
	Counter   MetricKind = iota // only goes up
	Histogram                   // a distribution, in seconds
	Gauge                       // the latest value counts
)

// Metric is one thing that is measured. The names are the same on /metrics and in CloudWatch.
type Metric struct {
	Name   string
	Kind   MetricKind
	Help   string
	Labels []string
}

// FullName is the name under which it is published.
func (m *Metric) FullName() string { return "flashsale_" + m.Name }

// The metrics, one list for code, dashboards and documentation.
var (
	HoldsPlaced    = &Metric{"holds_placed_total", Counter, "Holds granted.", nil}
	HoldsRefused   = &Metric{"holds_refused_total", Counter, "Holds refused, by error code and by who refused: the gate (no database call) or the ledger.", []string{"reason", "by"}}
	LedgerCalls    = &Metric{"ledger_calls_total", Counter, "Calls of the ledger by routine and outcome.", []string{"routine", "outcome"}}
	LedgerDuration = &Metric{"ledger_call_duration_seconds", Histogram, "Time of a ledger call with its retries.", []string{"routine"}}
	LedgerRetries  = &Metric{"ledger_retries_total", Counter, "Ledger calls repeated, by the error number of the server, or lost when the answer was lost.", []string{"error"}}
	WebhookEvents  = &Metric{"webhook_events_total", Counter, "Deliveries of payment events by provider and result.", []string{"provider", "result"}}
	CacheLookups   = &Metric{"cache_lookups_total", Counter, "Reads of the stock view: hit, miss, failure, or skipped while the breaker is open.", []string{"result"}}
	SweepRuns      = &Metric{"sweep_runs_total", Counter, "Sweeps by result: ok, or failed when any product could not be swept.", []string{"result"}}
	SweptHolds     = &Metric{"sweep_holds_total", Counter, "Holds whose stock a sweep or a fill of the stock view took back.", nil}
	SweptOrders    = &Metric{"sweep_orders_total", Counter, "Unpaid orders cancelled by a sweep or a fill of the stock view.", nil}
	SweepLag       = &Metric{"sweep_lag_seconds", Histogram, "How long the most overdue hold or order of a batch had been due when its stock came back.", nil}

	AuditBroken = &Metric{"audit_broken", Gauge, "Broken invariants that the latest audit found: anything but 0 is a defect.", nil}
	RefundsDue  = &Metric{"refunds_due", Gauge, "Orders whose money has to go back, at the latest audit.", nil}
	Unmatched   = &Metric{"unmatched_events", Gauge, "Payment events of the last day that name no hold or order, at the latest audit.", nil}
)

// Metrics lists all of them.
var Metrics = []*Metric{
	HoldsPlaced, HoldsRefused, LedgerCalls, LedgerDuration, LedgerRetries, WebhookEvents,
	CacheLookups, SweepRuns, SweptHolds, SweptOrders, SweepLag, AuditBroken, RefundsDue, Unmatched,
}

// Recorder takes measurements: a counter's step, a histogram's or a gauge's value. labels are the values of the
// metric's Labels, in their order. It must not block.
type Recorder interface {
	Record(m *Metric, value float64, labels ...string)
}

// NoRecorder drops every measurement.
type NoRecorder struct{}

// Record does nothing.
func (NoRecorder) Record(*Metric, float64, ...string) {}
