package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/payments"
)

// The cases of runPayments.
const (
	paymentsLedger      = "ledger, events"
	paymentsLedgerAgain = "ledger, duplicates"
	paymentsHTTP        = "HTTP, events"
	paymentsHTTPAgain   = "HTTP, duplicates"
	paymentsHTTPOne     = "HTTP, one event"

	paymentCallers = 16
	window         = 15 * time.Minute
)

// runPayments is experiment 6: what a payment provider can deliver for one hot product.
func runPayments(ctx context.Context, r *Run) (*Result, error) {
	out := &Result{
		About: []string{
			say("Events of type `payment.succeeded` by %d callers, each event for a hold of its own of one product: it makes the order and "+
				"pays it. *ledger*: `Ledger.ApplyPayment` called in the load generator's process. *HTTP*: signed deliveries to "+
				"`POST /v1/payments/webhook`. *duplicates*: the same events delivered again; *one event*: all callers deliver the same one, again "+
				"and again. Afterwards the audit has to be clean.", paymentCallers),
		},
		Figures: Figures{},
	}
	err := r.onSites(ctx, &out.LeftOut, func(ctx context.Context, s *site) error {
		l, err := s.openLedger()
		if err != nil {
			return err
		}
		signer, err := payments.NewStandard([]string{s.secret})
		if err != nil {
			return errors.Join(err, l.Close())
		}
		for range r.Rounds {
			if err = s.paymentRound(ctx, r, out.Figures, l, signer); err != nil {
				break
			}
		}
		if err == nil {
			err = mustBeClean(ctx, l)
		}
		return errors.Join(err, l.Close())
	})
	if err != nil {
		return nil, err
	}
	chart := Chart{Name: "rates", Title: "Deliveries of payment events a second", Y: "deliveries/s"}
	for _, d := range r.Databases {
		t := Table{Title: d.Label, Labels: []string{"case"}, Columns: append([]Column{{"deliveries", PerSecond}, {"p50", Milliseconds}, {"p99", Milliseconds}}, cpuColumns()...)}
		series := Series{Name: d.Label}
		chart.Groups = nil
		for _, name := range []string{paymentsLedger, paymentsLedgerAgain, paymentsHTTP, paymentsHTTPAgain, paymentsHTTPOne} {
			key := []string{d.Label, name}
			t.Add([]string{name}, append([]Value{out.Figures.Median("rate", key...), out.Figures.Median("p50", key...), out.Figures.Median("p99", key...)}, out.Figures.cpu(key...)...)...)
			chart.Groups = append(chart.Groups, name)
			series.Values = append(series.Values, out.Figures.Median("rate", key...))
		}
		out.Tables = append(out.Tables, t)
		chart.Series = append(chart.Series, series)
	}
	out.Charts = []Chart{chart}
	return out, nil
}

// paymentRound runs each case once, on holds of a new product.
func (s *site) paymentRound(ctx context.Context, r *Run, f Figures, l *ledger.Ledger, signer *payments.Standard) error {
	length := r.length(2 * time.Second)
	run := func(name string, op func(context.Context, int) error) error {
		return s.measured(ctx, f, load{workers: paymentCallers, warmUp: r.warmUp(), length: length, op: op}, s.label, name)
	}
	enough := r.size(50_000, 10_000) // holds for one case
	for _, over := range []struct {
		events, again string
		open          func(holds bulk) (do func(worker, n int) error, done func())
	}{
		{paymentsLedger, paymentsLedgerAgain, func(holds bulk) (func(int, int) error, func()) {
			return func(_, n int) error {
				_, err := l.ApplyPayment(ctx, paymentOf(holds.ID(n), holds.qty(n)), window)
				return err
			}, func() {}
		}},
		{paymentsHTTP, paymentsHTTPAgain, func(holds bulk) (func(int, int) error, func()) {
			callers, done := newCallers(s.url, paymentCallers)
			return func(worker, n int) error { return deliver(callers[worker], signer, holds.ID(n), holds.qty(n)) }, done
		}},
	} {
		product := productID()
		if err := s.product(ctx, product, fullStock); err != nil {
			return err
		}
		holds, err := s.holdsInBulk(ctx, []string{product}, enough, open)
		if err != nil {
			return err
		}
		do, done := over.open(holds)
		var sent atomic.Int64
		err = run(over.events, func(_ context.Context, worker int) error {
			n := int(sent.Add(1)) - 1
			if n >= enough {
				return fmt.Errorf("%d holds were too few for this machine", enough)
			}
			return do(worker, n)
		})
		settled := int(sent.Load()) - paymentCallers // the last ones may have been cut off
		if err == nil {
			var next atomic.Int64
			err = run(over.again, func(_ context.Context, worker int) error { return do(worker, int(next.Add(1))%settled) })
		}
		if err == nil && over.again == paymentsHTTPAgain {
			err = run(paymentsHTTPOne, func(_ context.Context, worker int) error { return do(worker, 0) })
		}
		done()
		if err != nil {
			return err
		}
	}
	return nil
}

// paymentOf is the event that pays for a hold.
func paymentOf(hold checkout.ID, qty int64) checkout.PaymentEvent {
	id := "evt_" + hold.HoldID()
	return checkout.PaymentEvent{
		Provider: "standard", EventID: id, Type: payments.StandardSucceeded, Kind: checkout.PaymentSucceeded, Subject: &hold,
		PaymentID: "pay_" + id, Amount: checkout.Money{Amount: qty * unitPrice, Currency: "USD"}, Digest: sha256.Sum256([]byte(id)),
	}
}

// deliver sends the same event as a payment provider does.
func deliver(c *caller, signer *payments.Standard, hold checkout.ID, qty int64) error {
	amount, now, id := qty*unitPrice, time.Now(), "evt_"+hold.HoldID()
	body := payments.StandardBody(payments.StandardSucceeded, now, payments.StandardData{
		PaymentID: "pay_" + id, HoldID: hold.HoldID(), Amount: &amount, Currency: "USD",
	})
	var headers []header
	for name, values := range signer.Sign(id, now, body) {
		headers = append(headers, header{name, values[0]})
	}
	status, answer, err := c.do(http.MethodPost, "/v1/payments/webhook", body, headers...)
	return expect(http.StatusOK, status, answer, err)
}

// mustBeClean fails when the audit finds a broken invariant: what was measured was no checkout then.
func mustBeClean(ctx context.Context, l *ledger.Ledger) error {
	audit, err := l.Audit(ctx)
	if err == nil && !audit.Clean {
		err = errors.New("the audit is not clean: " + strconv.Itoa(len(audit.Broken)) + " findings, such as " + fmt.Sprint(audit.Broken[0]))
	}
	return err
}
