package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"flashsale/pkg/checkout"
)

// Finding is one row that a check of the audit reports.
type Finding struct {
	Check  string `json:"check"`  // the check's name, which never changes
	Entity string `json:"entity"` // the product, hold, order or event
	Detail string `json:"detail"`
}

// Audit is the result of recomputing every counter from the rows, in one consistent snapshot.
type Audit struct {
	Clean     bool  `json:"clean"`
	Products  int64 `json:"products"`
	Holds     int64 `json:"holds"`
	Orders    int64 `json:"orders"`
	Events    int64 `json:"payment_events"`
	Refunds   int64 `json:"refunds_due"`      // orders that need a refund
	Unmatched int64 `json:"unmatched_events"` // events without a hold or order
	// Unmatched events of the last 24 hours only, so that the alarm can clear.
	UnmatchedToday int64     `json:"unmatched_events_today"`
	Broken         []Finding `json:"broken"`    // broken invariants: a defect
	Attention      []Finding `json:"attention"` // work for an operator, such as refunds due
	AsOf           time.Time `json:"as_of"`
}

// maxFindings limits the findings of one check.
const maxFindings = 100

// Audit recomputes every counter and checks every invariant. It locks nothing. Codes: busy.
func (l *Ledger) Audit(ctx context.Context) (_ Audit, err error) {
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

	a := Audit{Broken: []Finding{}, Attention: []Finding{}}
	err = tx.QueryRowContext(ctx, `
		SELECT (SELECT COUNT(*) FROM products), (SELECT COUNT(*) FROM holds), (SELECT COUNT(*) FROM orders),
		       (SELECT COUNT(*) FROM payment_events), (SELECT COUNT(*) FROM orders WHERE status = 'refund_due'),
		       (SELECT COUNT(*) FROM payment_events WHERE result = 'unmatched'),
		       (SELECT COUNT(*) FROM payment_events WHERE result = 'unmatched' AND received_at > UTC_TIMESTAMP(6) - INTERVAL 1 DAY),
		       UTC_TIMESTAMP(6)`).
		Scan(&a.Products, &a.Holds, &a.Orders, &a.Events, &a.Refunds, &a.Unmatched, &a.UnmatchedToday, &a.AsOf)
	if err != nil {
		return Audit{}, fmt.Errorf("auditing: %w", err)
	}
	for _, c := range checks {
		found, err := c.run(ctx, tx)
		if err != nil {
			return Audit{}, fmt.Errorf("auditing %s: %w", c.name, err)
		}
		if c.attention {
			a.Attention = append(a.Attention, found...)
		} else {
			a.Broken = append(a.Broken, found...)
		}
	}
	a.Clean = len(a.Broken) == 0
	return a, nil
}

// check is one invariant: a query that returns the entity and detail of each row that breaks it.
type check struct {
	name      string
	attention bool
	query     string
}

func (c check) run(ctx context.Context, tx *sql.Tx) (found []Finding, err error) {
	rows, err := tx.QueryContext(ctx, c.query+fmt.Sprintf(" LIMIT %d", maxFindings))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		f := Finding{Check: c.name}
		var entity []byte
		if err := rows.Scan(&entity, &f.Detail); err != nil {
			return nil, err
		}
		f.Entity = entityName(entity)
		found = append(found, f)
	}
	return found, rows.Err()
}
