package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"flashsale/pkg/checkout"
)

// Finding is one row that a check of the audit reports.
type Finding struct {
	Check  string `json:"check"`  // the check's name, which never changes
	Entity string `json:"entity"` // the product, hold, order or event
	Detail string `json:"detail"`
}

// Audit is the result of recomputing every counter, order and payment from the rows and events, in one consistent
// snapshot.
type Audit struct {
	Clean    bool  `json:"clean"`
	Products int64 `json:"products"`
	Holds    int64 `json:"holds"`
	Orders   int64 `json:"orders"`
	Payments int64 `json:"payments"`
	// Unsealed counts the holds without a checksum: placed by a release before it, or during a rollback.
	Unsealed int64 `json:"holds_without_checksum"`
	Events   int64 `json:"payment_events"`
	// Money has one entry per currency, by code.
	Money        []MoneyReport `json:"money"`
	Refunds      int64         `json:"refunds_due"`   // payments that owe money
	DisputesOpen int64         `json:"disputes_open"` // disputes without an outcome
	Stored       int64         `json:"stored_events"` // events that could not be applied yet
	Unmatched    int64         `json:"unmatched_events"`
	Unreadable   int64         `json:"unreadable_events"` // verified events that could not be read
	Reused       int64         `json:"reused_events"`     // events with the id of another event
	// Events of the last 24 hours only, so that the alarms can clear.
	UnmatchedToday int64     `json:"unmatched_events_today"`
	RejectedToday  int64     `json:"rejected_events_today"` // unreadable or reused
	Broken         []Finding `json:"broken"`                // broken invariants: a defect
	Attention      []Finding `json:"attention"`             // work for an operator, such as money owed
	// More says how many findings of a check are not listed. The counts above are always complete.
	More map[string]int `json:"more,omitempty"`
	AsOf time.Time      `json:"as_of"`
	// Of AuditChanges: when the latest full audit began, and the broken invariants that it found. Before the first, FullAt is
	// the time of the migration.
	FullAt     time.Time `json:"-"`
	FullBroken int       `json:"-"`
}

// MoneyReport accounts for the money of one currency, in minor units: Received = Sold + Returned + Owed. Unmatched and
// Stored come on top: no order has this money.
type MoneyReport struct {
	Currency string `json:"currency"`
	Received int64  `json:"received"`
	Sold     int64  `json:"sold"`     // kept as the price of units sold, less what went back of it
	Returned int64  `json:"returned"` // refunds and lost disputes, at most what was received
	Owed     int64  `json:"owed"`
	// Unmatched is what successes report that fit no order: it is not known, or the payment belongs to another order or is
	// in another currency.
	Unmatched int64 `json:"unmatched"`
	Stored    int64 `json:"stored"` // what successes report that could not be applied yet
}

// BrokenCount is the number of broken invariants, listed or not.
func (a Audit) BrokenCount() int {
	n := len(a.Broken)
	counted := map[string]bool{}
	for _, f := range a.Broken {
		if !counted[f.Check] {
			counted[f.Check] = true
			n += a.More[f.Check]
		}
	}
	return n
}

// maxFindings limits the findings of one check that are listed.
const maxFindings = 100

// Audit recomputes every counter and checks every invariant. It locks nothing. Codes: busy.
func (l *Ledger) Audit(ctx context.Context) (Audit, error) {
	return l.inSnapshot(ctx, func(tx *sql.Tx, a *Audit) error {
		if err := a.count(ctx, tx); err != nil {
			return err
		}
		for _, c := range checks {
			if err := c.run(ctx, tx, a); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		if err := auditMoney(ctx, tx, a); err != nil {
			return fmt.Errorf("the money: %w", err)
		}
		return l.auditRoutines(ctx, tx, a)
	})
}

// inSnapshot runs an audit in one consistent snapshot. Codes: busy.
func (l *Ledger) inSnapshot(ctx context.Context, audit func(*sql.Tx, *Audit) error) (_ Audit, err error) {
	defer func() {
		if class, _ := classify(err); class != fail { // as in call
			err = checkout.Busy(err)
		}
	}()
	// The only transaction opened by this program: a snapshot, never inside a request.
	tx, err := l.audits.BeginTx(ctx, &l.snapshot)
	if err != nil {
		return Audit{}, fmt.Errorf("opening the audit's snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	a := Audit{Money: []MoneyReport{}, Broken: []Finding{}, Attention: []Finding{}, More: map[string]int{}}
	if err := audit(tx, &a); err != nil {
		return Audit{}, fmt.Errorf("auditing: %w", err)
	}
	a.Clean = len(a.Broken) == 0
	return a, nil
}

// routinesPause is how long a complete list of routines is believed: on MySQL reading it takes several milliseconds.
const routinesPause = time.Second

// auditRoutines reports the routines that the database lacks.
func (l *Ledger) auditRoutines(ctx context.Context, tx *sql.Tx, a *Audit) error {
	if seen := l.routinesSeen.Load(); seen != nil && time.Since(*seen) < routinesPause {
		return nil
	}
	missing, err := l.missingRoutines(ctx, tx)
	if err != nil {
		return fmt.Errorf("the routines: %w", err)
	}
	if len(missing) == 0 {
		now := time.Now()
		l.routinesSeen.Store(&now)
	}
	for _, name := range missing {
		a.add(false, Finding{Check: "routine_missing", Entity: name, Detail: "this release calls it: run flashsale migrate"})
	}
	return nil
}

// count fills the totals.
func (a *Audit) count(ctx context.Context, tx *sql.Tx) error {
	return tx.QueryRowContext(ctx, `
		SELECT (SELECT COUNT(*) FROM products), (SELECT COUNT(*) FROM holds), (SELECT COUNT(*) FROM orders),
		       (SELECT COUNT(*) FROM payments), (SELECT COUNT(*) FROM payment_events),
		       (SELECT COUNT(*) FROM payments WHERE owed > 0), (SELECT COUNT(*) FROM refunds WHERE status = 'open'),
		       (SELECT COUNT(*) FROM payment_events WHERE result = 'stored'),
		       (SELECT COUNT(*) FROM payment_events WHERE result = 'unmatched'),
		       (SELECT COUNT(*) FROM rejected_events r LEFT JOIN payment_events e ON e.provider = r.provider AND e.event_id = r.event_id
		        WHERE r.reason = 'unreadable' AND e.provider IS NULL),
		       (SELECT COUNT(*) FROM rejected_events WHERE reason = 'reused'),
		       (SELECT COUNT(*) FROM payment_events WHERE result = 'unmatched' AND received_at > UTC_TIMESTAMP(6) - INTERVAL 1 DAY),
		       (SELECT COUNT(*) FROM rejected_events WHERE last_at > UTC_TIMESTAMP(6) - INTERVAL 1 DAY),
		       (SELECT COUNT(*) FROM holds WHERE facts IS NULL), UTC_TIMESTAMP(6)`).
		Scan(&a.Products, &a.Holds, &a.Orders, &a.Payments, &a.Events, &a.Refunds, &a.DisputesOpen, &a.Stored, &a.Unmatched,
			&a.Unreadable, &a.Reused, &a.UnmatchedToday, &a.RejectedToday, &a.Unsealed, &a.AsOf)
}

// add lists a finding, or counts it if its check has many.
func (a *Audit) add(attention bool, f Finding) {
	list := &a.Broken
	if attention {
		list = &a.Attention
	}
	listed := 0
	for _, other := range *list {
		if other == f {
			return
		}
		if other.Check == f.Check {
			listed++
		}
	}
	if listed >= maxFindings {
		a.More[f.Check]++
		return
	}
	*list = append(*list, f)
}

// check is one invariant: a query that returns the entity and detail of each row that breaks it.
type check struct {
	name      string
	attention bool
	query     string
}

// everything puts no limit on the rows of a check.
var everything = strings.NewReplacer("{h}", "TRUE", "{o}", "TRUE", "{p}", "TRUE", "{e}", "TRUE", "{r}", "TRUE", "{p.id}", "TRUE", "{product_id}", "TRUE",
	"{holds}", "holds IGNORE INDEX (holds_due)", "{orders}", "orders IGNORE INDEX (orders_due)")

func (c check) run(ctx context.Context, tx *sql.Tx, a *Audit) error {
	return c.find(ctx, tx, a, everything.Replace(c.query))
}

func (c check) find(ctx context.Context, tx *sql.Tx, a *Audit, query string, args ...any) error {
	return each(ctx, tx, func(rows *sql.Rows) error {
		f := Finding{Check: c.name}
		var entity []byte
		if err := rows.Scan(&entity, &f.Detail); err != nil {
			return err
		}
		f.Entity = entityName(entity)
		a.add(c.attention, f)
		return nil
	}, query, args...)
}
