package checkout

// MetricKind says how a metric is aggregated.
type MetricKind int

// The kinds of metrics.
const (
	Counter   MetricKind = iota // only goes up
	Histogram                   // a distribution, in seconds
	Gauge                       // the latest value counts
)

// Metric defines one measurement. Its name is the same on /metrics and in CloudWatch.
type Metric struct {
	Name   string
	Kind   MetricKind
	Help   string
	Labels []string
}

// FullName returns the published name.
func (m *Metric) FullName() string { return "flashsale_" + m.Name }

// The metrics: one list for code, dashboards and documentation. Those of requests follow below.
var (
	HoldsPlaced    = &Metric{"holds_placed_total", Counter, "Holds granted.", nil}
	HoldsRefused   = &Metric{"holds_refused_total", Counter, "Holds refused, by error code, and by gate (without a database call) or ledger.", []string{"reason", "by"}}
	LedgerCalls    = &Metric{"ledger_calls_total", Counter, "Ledger calls by routine and outcome.", []string{"routine", "outcome"}}
	LedgerDuration = &Metric{"ledger_call_duration_seconds", Histogram, "Duration of a ledger call, retries included.", []string{"routine"}}
	LedgerRetries  = &Metric{"ledger_retries_total", Counter, "Ledger calls retried, by the server's error number, or lost for a lost response.", []string{"error"}}
	WebhookEvents  = &Metric{"webhook_events_total", Counter, "Deliveries of payment events by provider and result.", []string{"provider", "result"}}
	CacheLookups   = &Metric{"cache_lookups_total", Counter, "Cache lookups by result: hit, miss, failure, or skipped while the breaker is open.", []string{"result"}}
	LostWrites     = &Metric{"cache_writes_lost_total", Counter, "Cache entries that were not stored, by reason: read_only, full, late (the state was too old), failure, or skipped while the breaker is open.", []string{"reason"}}
	SweepRuns      = &Metric{"sweep_runs_total", Counter, "Sweeps by result: ok, or failed when any product failed.", []string{"result"}}
	SweptHolds     = &Metric{"sweep_holds_total", Counter, "Holds expired by sweeps.", nil}
	SweptOrders    = &Metric{"sweep_orders_total", Counter, "Unpaid orders cancelled by sweeps.", nil}
	SweepLag       = &Metric{"sweep_lag_seconds", Histogram, "How overdue the oldest hold or order of a batch was when its stock came back.", nil}

	PrunedHolds  = &Metric{"pruned_holds_total", Counter, "Holds deleted because they ended longer than RETENTION ago.", nil}
	PrunedEvents = &Metric{"pruned_events_total", Counter, "Payment events without effect deleted because they are older than RETENTION.", nil}

	AuditBroken = &Metric{"audit_broken", Gauge, "Broken invariants found by the latest audit of the changes or the latest full audit: anything but 0 is a defect.", nil}
	AuditAge    = &Metric{"audit_age_seconds", Gauge, "Age of the latest full audit that succeeded.", nil}
	RefundsDue  = &Metric{"refunds_due", Gauge, "Payments that owe money, at the latest audit.", nil}
	RefundsOwed = &Metric{"refunds_owed", Gauge, "Money owed back by currency, in minor units, at the latest audit.", []string{"currency"}}

	ReservedRatio  = &Metric{"stock_reserved_ratio", Gauge, "Highest share of a product's stock that is reserved and not paid for, from 0 to 1, at the latest audit.", nil}
	DisputesOpen   = &Metric{"disputes_open", Gauge, "Disputes without an outcome, at the latest audit.", nil}
	EventsStored   = &Metric{"events_stored", Gauge, "Payment events that could not be applied yet, at the latest audit.", nil}
	EventsRejected = &Metric{"events_rejected", Gauge, "Verified payment events of the last 24 hours that could not be read or reused the id of another, at the latest audit.", nil}
	Unmatched      = &Metric{"unmatched_events", Gauge, "Payment events of the last 24 hours whose order or payment is not known, at the latest audit.", nil}
)

// The metrics of requests. On AWS, API Gateway measures the same without a line in the log of each function.
var (
	Requests        = &Metric{"requests_total", Counter, "Requests of the API, by operation and by outcome: ok, or the problem's code.", []string{"operation", "outcome"}}
	RequestDuration = &Metric{"request_duration_seconds", Histogram, "Duration of a request of the API.", []string{"operation"}}
)

// RequestMetrics lists the metrics that only `flashsale run` records.
var RequestMetrics = []*Metric{Requests, RequestDuration}

// Metrics lists every other metric.
var Metrics = []*Metric{
	HoldsPlaced, HoldsRefused, LedgerCalls, LedgerDuration, LedgerRetries, WebhookEvents,
	CacheLookups, LostWrites, SweepRuns, SweptHolds, SweptOrders, SweepLag, PrunedHolds, PrunedEvents, AuditBroken, AuditAge,
	RefundsDue, RefundsOwed, ReservedRatio, DisputesOpen, EventsStored, EventsRejected, Unmatched,
}

// Recorder takes measurements: the step of a counter, or the value of a histogram or gauge. labels are the values of
// the metric's Labels, in the same order. It must not block.
type Recorder interface {
	Record(m *Metric, value float64, labels ...string)
}

// NoRecorder drops every measurement.
type NoRecorder struct{}

// Record does nothing.
func (NoRecorder) Record(*Metric, float64, ...string) {}
