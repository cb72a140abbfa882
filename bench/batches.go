package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"flashsale/pkg/ledger"
)

// The designs that place holds of one product over one connection.
const (
	placeHolds = "place_holds"
	bareRows   = "bare multi-row INSERT"
)

var batchSizes = []int{1, 64, 256}

// batchCase names a case, such as "place_holds, batches of 64".
func batchCase(design string, size int) string { return fmt.Sprintf("%s, batches of %d", design, size) }

// runBatches measures what holds cost the database at the least: over one connection, so that nothing waits for a lock.
func runBatches(ctx context.Context, t *trial) error {
	var cases []func(context.Context) error
	for _, size := range batchSizes {
		for _, design := range []string{placeHolds, bareRows} {
			cases = append(cases, t.onSchema(func(ctx context.Context, s *site) error { return s.runBatch(ctx, design, size) }))
		}
	}
	return t.alternate(ctx, func() {
		for _, size := range batchSizes {
			share := t.last(batchCase(placeHolds, size), "holds/s") / t.last(batchCase(bareRows, size), "holds/s")
			t.add(batchCase(placeHolds, size), "share of the bare INSERT's rate, %", 100*share)
		}
	}, cases...)
}

// runBatch measures one case. A batch of one hold is a place_hold.
func (s *site) runBatch(ctx context.Context, design string, size int) (err error) {
	db, err := connect(s.adminDSN, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	op := map[string]func(context.Context) error{
		placeHolds: func(ctx context.Context) error { return s.callPlaceHolds(ctx, db, size) },
		bareRows:   func(ctx context.Context) error { return s.insertHolds(ctx, db, size) },
	}[design]
	if design == placeHolds && size == 1 {
		op = s.place(ledger.New(db, nothing{}))
	}
	name := batchCase(design, size)
	if _, err := closed(ctx, 1, s.length(caseLength)/8, op); err != nil { // the warm-up
		return fmt.Errorf("%s: %w", name, err)
	}
	var got sample
	s.pids = s.pids[:1] // the database alone
	used, err := s.watched(ctx, name, func() (err error) {
		got, err = closed(ctx, 1, s.length(caseLength), op)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.add(name, "holds/s", got.rate*float64(size))
	s.add(name, "database CPU per hold, µs", used.measured/used.took/(got.rate*float64(size))*1e6)
	if design == placeHolds {
		return s.mustBeClean(ctx)
	}
	return nil
}

// callPlaceHolds places a batch as Ledger.PlaceHold does for callers that come together.
func (s *site) callPlaceHolds(ctx context.Context, db *sql.DB, size int) error {
	const ttlMicroseconds = 120_000_000
	rows, sum := make([]string, size), int64(0)
	for i := range rows {
		id := newID()
		facts := crc32.ChecksumIEEE(fmt.Appendf(nil, "%X|%s|1|%d|USD|%d", id[:], s.onSale, unitPrice, ttlMicroseconds))
		rows[i], sum = fmt.Sprintf(`["%x",1,%d]`, id[:], facts), sum+int64(facts)
	}
	var outcome string
	found, err := db.QueryContext(ctx, "CALL "+ledger.InstalledName("place_holds")+"(?,?,?,'USD',NULL,?,?,1,?,0,0,?)",
		s.onSale, ttlMicroseconds, unitPrice, size, size, sum, "["+strings.Join(rows, ",")+"]")
	if err != nil {
		return err
	}
	defer found.Close() //nolint:errcheck // read below
	if !found.Next() {
		return errors.Join(found.Err(), sql.ErrNoRows)
	}
	columns, err := found.Columns()
	if err != nil {
		return err
	}
	values := make([]any, len(columns))
	for i := range values {
		values[i] = new(any)
	}
	values[0] = &outcome
	if err := found.Scan(values...); err != nil {
		return err
	}
	if outcome != "placed" {
		return fmt.Errorf("place_holds returned %s", outcome)
	}
	return nil
}

// insertHolds writes as many rows.
func (s *site) insertHolds(ctx context.Context, db *sql.DB, size int) error {
	const row = "(UNHEX(?), ?, 1, 4999, 'USD', 'active', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL 120 SECOND)"
	args := make([]any, 0, 2*size)
	for range size {
		id := newID()
		args = append(args, fmt.Sprintf("%x", id[:]), s.onSale)
	}
	_, err := db.ExecContext(ctx, "INSERT INTO holds (id, product_id, qty, unit_price, currency, status, created_at, expires_at) VALUES "+ //nolint:gosec // G202: constants
		row+strings.Repeat(", "+row, size-1), args...)
	return err
}
