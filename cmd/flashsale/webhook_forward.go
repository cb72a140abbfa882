package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/payments"
)

// forwardPauses are the waits before the second delivery of an event, the third, and so on, until one succeeds.
var forwardPauses = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}

const (
	maxForwarding = 1000 // events under way, most of which wait for their next delivery
	maxDelivering = 16   // deliveries at a time
	shownResponse = 80   // bytes of a response that are printed
)

// forwarder delivers events to a back end as a payment provider does.
type forwarder struct {
	env    environment
	url    string
	signer *payments.Standard
	asJSON bool
	client *http.Client

	ctx         context.Context //nolint:containedctx // of the deliveries; ends with the command, or when printing fails
	fail        context.CancelCauseFunc
	events      errgroup.Group
	slots       chan struct{}
	printing    sync.Mutex
	undelivered int
}

func newForwarder(env environment, url string, signer *payments.Standard, asJSON bool) *forwarder {
	f := &forwarder{env: env, url: url, signer: signer, asJSON: asJSON, slots: make(chan struct{}, maxDelivering)}
	f.client = &http.Client{Timeout: webhookTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	f.ctx, f.fail = context.WithCancelCause(env.ctx)
	f.events.SetLimit(maxForwarding)
	return f
}

// delivery is one attempt to deliver an event, in the JSON of the command.
type delivery struct {
	Time      time.Time              `json:"time"`
	Type      string                 `json:"type"`
	EventID   string                 `json:"event_id"`
	Provider  string                 `json:"provider"`
	OrderID   string                 `json:"order_id,omitempty"`
	PaymentID string                 `json:"payment_id,omitempty"`
	Result    checkout.PaymentResult `json:"result"` // in the checkout
	Attempt   int                    `json:"attempt"`
	Delivered bool                   `json:"delivered"`
	Status    int                    `json:"status,omitempty"`
	Response  string                 `json:"response,omitempty"` // its beginning
	Error     string                 `json:"error,omitempty"`
	NextIn    int                    `json:"next_attempt_in_seconds,omitempty"` // none: it was the last
}

// forward delivers an event in the background. It waits while too many are under way.
func (f *forwarder) forward(e ledger.ReceivedEvent) {
	f.events.Go(func() error {
		f.deliver(e)
		return nil
	})
}

func (f *forwarder) deliver(e ledger.ReceivedEvent) {
	eventType, body := standardEvent(e)
	for attempt := 1; ; attempt++ {
		d := delivery{
			Type: eventType, EventID: e.EventID, Provider: e.Provider, OrderID: e.OrderID, PaymentID: e.PaymentID, Result: e.Result, Attempt: attempt,
		}
		f.post(&d, body)
		last := d.Delivered || attempt > len(forwardPauses)
		if !last {
			d.NextIn = int(forwardPauses[attempt-1].Seconds())
		}
		f.print(d)
		if last || f.ctx.Err() != nil {
			return
		}
		select {
		case <-f.ctx.Done():
		case <-time.After(forwardPauses[attempt-1]):
		}
	}
}

// post sends the event once, with the same id and a new timestamp.
func (f *forwarder) post(d *delivery, body []byte) {
	f.slots <- struct{}{}
	defer func() { <-f.slots }()
	d.Time = time.Now().UTC().Truncate(time.Millisecond)
	request, err := http.NewRequestWithContext(f.ctx, http.MethodPost, f.url, bytes.NewReader(body))
	if err != nil {
		d.Error = err.Error()
		return
	}
	request.Header = f.signer.Sign(d.EventID, time.Now(), body)
	request.Header.Set("Content-Type", "application/json")
	response, err := f.client.Do(request)
	if err != nil {
		var refused *url.Error
		if errors.As(err, &refused) {
			err = refused.Err // the address is printed at the start
		}
		d.Error = err.Error()
		return
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(response.Body, shownResponse))
	d.Status, d.Response = response.StatusCode, strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "")), " ")
	d.Delivered = d.Status/100 == 2
}

// print prints a delivery, and ends the command if printing fails.
func (f *forwarder) print(d delivery) {
	f.printing.Lock()
	defer f.printing.Unlock()
	if !d.Delivered && (d.NextIn == 0 || f.ctx.Err() != nil) {
		f.undelivered++
	}
	if f.ctx.Err() != nil && !d.Delivered {
		return // cut off
	}
	var err error
	if f.asJSON {
		err = printJSONLine(f.env.out, d)
	} else {
		err = write(f.env.out, "%s\n", d)
	}
	if err != nil {
		f.fail(err)
	}
}

// String is the line of a delivery.
func (d delivery) String() string {
	subject := cell(d.OrderID)
	if d.OrderID == "" && d.PaymentID != "" {
		subject = cell(d.PaymentID)
	}
	outcome := d.Error
	if d.Status > 0 {
		outcome = strings.TrimSpace(fmt.Sprint(d.Status, " ", d.Response))
	}
	switch {
	case d.NextIn > 0:
		outcome += fmt.Sprintf("; attempt %d, the next in %d s", d.Attempt, d.NextIn)
	case !d.Delivered:
		outcome += fmt.Sprintf("; attempt %d, given up", d.Attempt)
	}
	return strings.Join([]string{d.Time.Local().Format(time.TimeOnly), cell(d.Type), cell(d.EventID), subject, "→ " + cell(outcome)}, "  ")
}

// end waits for the deliveries. Ctrl-C is no failure.
func (f *forwarder) end(err error) error {
	f.fail(nil)
	_ = f.events.Wait() // its functions return no error
	if f.env.ctx.Err() == nil {
		return err
	}
	if f.undelivered > 0 {
		return write(f.env.stderr, "flashsale: %s not delivered\n", plural(int64(f.undelivered), "event"))
	}
	return nil
}

// standardTypes has the type of Standard Webhooks for each kind of another provider's event.
var standardTypes = map[checkout.PaymentKind]string{
	checkout.PaymentSucceeded: payments.StandardSucceeded, checkout.PaymentFailed: payments.StandardFailed, checkout.PaymentProcessing: payments.StandardProcessing,
	checkout.PaymentRefunded: payments.StandardRefunded, checkout.PaymentRefundFailed: payments.StandardRefundFailed, checkout.PaymentDisputed: payments.StandardDisputed,
	checkout.PaymentDisputeWon: payments.StandardDisputeClosed, checkout.PaymentDisputeLost: payments.StandardDisputeClosed,
	checkout.PaymentRefundedSum: "payment.refunded_sum", // the standard events of this project have no sums
}

// standardEvent builds the body of an event again from the ledger's columns.
func standardEvent(e ledger.ReceivedEvent) (eventType string, body []byte) {
	eventType = e.Type
	if own := standardTypes[e.Kind]; e.Provider != checkout.ProviderStandard && own != "" {
		eventType = own
	}
	data := payments.StandardData{PaymentID: e.PaymentID, OrderID: e.OrderID, RefundID: e.RefundID}
	if e.Amount != nil {
		data.Amount, data.Currency = &e.Amount.Amount, e.Amount.Currency
	}
	switch e.Kind {
	case checkout.PaymentDisputeWon:
		data.Outcome = "won"
	case checkout.PaymentDisputeLost:
		data.Outcome = "lost"
	}
	if id, isDispute := strings.CutPrefix(e.RefundID, payments.DisputePrefix); isDispute {
		data.RefundID, data.DisputeID = "", id
	}
	at := e.ReceivedAt
	if e.OccurredAt != nil {
		at = *e.OccurredAt
	}
	return eventType, payments.StandardBody(eventType, at, data)
}

// printJSONLine prints a value in one line.
func printJSONLine(out io.Writer, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return write(out, "%s\n", text)
}
