package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flashsale/pkg/checkout"
)

const (
	growthProducts  = 10
	growthRetention = 30 * 24 * time.Hour // the default of RETENTION
	growthPrune     = 1000                // rows a second, as app.Sweeper prunes
)

// runGrowth measures what history costs: holds, the sweep, both audits and the pruning with no, a million and five million
// old holds. One in five was ordered and paid.
func runGrowth(ctx context.Context, t *trial) error {
	run := func(name string, old int) func(context.Context) error {
		return t.onSchema(func(ctx context.Context, s *site) error {
			for s.products < growthProducts {
				if _, err := s.product(ctx, fullStock); err != nil {
					return err
				}
			}
			progress("%s", name)
			return errors.Join(s.history(ctx, old), s.grown(ctx, name, old))
		})
	}
	return t.alternate(ctx, func() {}, run("no old rows", 0),
		run("1 million", t.size(1_000_000, 1000)), run("5 million", t.size(5_000_000, 2000)))
}

// grown measures one size of the history.
func (s *site) grown(ctx context.Context, name string, old int) error {
	timed := func(what string, do func() error) error {
		start := time.Now()
		err := do()
		s.add(name, what, time.Since(start).Seconds()*1000)
		return err
	}
	changes := func() error {
		audit, err := s.ledger.AuditChanges(ctx)
		if err == nil && !audit.Clean {
			err = fmt.Errorf("the audit is not clean: %v", audit.Broken)
		}
		return err
	}
	for range 1 + old/500_000 { // the marks catch up
		if err := changes(); err != nil {
			return err
		}
	}
	load, err := closed(ctx, 16, s.length(caseLength), s.place(s.ledger))
	if err != nil {
		return err
	}
	s.add(name, "holds/s", load.rate)
	s.add(name, "p99, ms", load.p99)
	if err := errors.Join(
		timed("audit of the changes, ms", changes),
		timed("looking for due products, ms", func() error { _, err := s.ledger.DueProducts(ctx, 100); return err }),
		timed("looking for waiting events, ms", func() error { _, err := s.ledger.WaitingEvents(ctx, 100); return err }),
	); err != nil {
		return err
	}
	due := s.size(50_000, 500)
	if _, err := s.holds(ctx, growthProducts, due, "active", -time.Second); err != nil {
		return err
	}
	start := time.Now()
	for n := 0; n < due; {
		for p := range growthProducts {
			r, err := s.ledger.ExpireDue(ctx, s.productID(p), checkout.DueBatch{Holds: 500, Orders: 500})
			if err != nil {
				return err
			}
			n += r.Holds
		}
	}
	s.add(name, "due holds expired/s", float64(due)/time.Since(start).Seconds())
	if err := timed("full audit, ms", func() error { return s.mustBeClean(ctx) }); err != nil || old == 0 {
		return err
	}
	return s.pruned(ctx, name)
}

// pruned measures new holds without and during a pruning at its usual rate, and then a pruning at full speed.
func (s *site) pruned(ctx context.Context, name string) error {
	const interval = 2 * time.Millisecond
	place := s.place(s.ledger)
	paced := func(stop <-chan time.Time) (sample, error) {
		return paced(ctx, interval, stop, func(ctx context.Context, _ int) error { return place(ctx) })
	}
	idle, err := paced(time.After(s.length(2 * caseLength)))
	if err != nil {
		return err
	}
	stop, done := context.WithCancel(ctx)
	pruning := make(chan error, 1)
	go func() {
		var err error
		for err == nil && stop.Err() == nil {
			_, err = s.ledger.Prune(ctx, growthRetention, growthPrune)
			_ = sleep(stop, time.Second)
		}
		pruning <- err
	}()
	busy, err := paced(time.After(s.length(2 * caseLength)))
	done()
	if err := errors.Join(err, <-pruning); err != nil {
		return err
	}
	s.add(name, "p99 without pruning, ms", idle.p99)
	s.add(name, "p99 during pruning, ms", busy.p99)
	start := time.Now()
	fast, err := s.ledger.Prune(ctx, growthRetention, s.size(100_000, 100))
	if err != nil {
		return err
	}
	s.add(name, "holds pruned/s", float64(fast.Holds)/time.Since(start).Seconds())
	return s.mustBeClean(ctx)
}

// history writes n holds that ended more than growthRetention ago, with the orders, payments and events of one in five, as
// if they had come one by one.
func (s *site) history(ctx context.Context, n int) error {
	numbers := `(SELECT n, UTC_TIMESTAMP(6) - INTERVAL 31 DAY - INTERVAL (? - n) * 100000 MICROSECOND AS due FROM (
		SELECT ? + i - 1 AS n FROM JSON_TABLE(CONCAT('[', REPEAT('0,', ? - 1), '0]'), '$[*]' COLUMNS (i FOR ORDINALITY)) t) numbers) times`
	last := make([]byte, 16)
	for first := 0; first < n; first += bulkRows {
		if _, err := s.admin.ExecContext(ctx, `
			INSERT INTO holds (id, product_id, qty, unit_price, currency, status, idempotency_key, created_at, expires_at, ended_at, facts)
			SELECT id, product, 1, ?, 'USD', ELT(1 + n % 5, 'ordered', 'expired', 'expired', 'expired', 'released'), k,
			       due - INTERVAL 2 MINUTE, due, due, CRC32(CONCAT_WS('|', HEX(id), product, 1, ?, 'USD', HEX(k), 120000000))
			FROM (SELECT n, due, CONCAT(?, n DIV 5 % ?) AS product, IF(n % 2 = 0, NULL, UNHEX(SHA2(CONCAT(?, n), 256))) AS k,
			             UNHEX(CONCAT(LPAD(HEX(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', due) DIV 1000), 12, '0'), '70008000', LPAD(HEX(n), 12, '0'))) AS id
			      FROM `+numbers+`) made`,
			unitPrice, unitPrice, s.prefix, growthProducts, s.prefix, n, first, min(bulkRows, n-first)); err != nil {
			return fmt.Errorf("writing old holds: %w", err)
		}
		for _, statement := range []string{
			`INSERT INTO orders (id, product_id, qty, amount, currency, status, stock, pay_by, created_at, updated_at)
			 SELECT id, product_id, qty, qty * unit_price, currency, 'paid', 'sold', expires_at + INTERVAL 15 MINUTE, expires_at, expires_at
			 FROM holds WHERE id > ? AND status = 'ordered'`,
			`INSERT INTO payments (provider, payment_id, order_id, settles, currency, received, exact, created_at, updated_at)
			 SELECT 'standard', HEX(id), id, id, currency, amount, TRUE, updated_at, updated_at FROM orders WHERE id > ?`,
			`INSERT INTO payment_events (provider, event_id, type, kind, subject_id, payment_id, amount, currency, payload_digest, result, received_at, settled_at, retry_at)
			 SELECT 'standard', payment_id, 'payment.succeeded', 'succeeded', order_id, payment_id, received, currency, REPEAT('d', 32), 'applied', created_at, created_at, NULL
			 FROM payments WHERE order_id > ?`,
		} {
			if _, err := s.admin.ExecContext(ctx, statement, last); err != nil {
				return fmt.Errorf("writing old orders: %w", err)
			}
		}
		if err := s.admin.QueryRowContext(ctx, "SELECT MAX(id) FROM holds").Scan(&last); err != nil {
			return fmt.Errorf("reading the last hold: %w", err)
		}
	}
	_, err := s.admin.ExecContext(ctx, `
		UPDATE products p LEFT JOIN (SELECT product_id, SUM(status = 'ordered') AS sold, COUNT(idempotency_key) AS keyed, SUM(facts) AS facts
		  FROM holds IGNORE INDEX (holds_due) GROUP BY product_id) h ON h.product_id = p.id
		SET version = version + 1, sold_stock = COALESCE(sold, 0), keyed_holds = COALESCE(keyed, 0), holds_sum = COALESCE(h.facts, 0)`)
	if err != nil {
		return fmt.Errorf("counting old holds: %w", err)
	}
	return nil
}
