package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// books is an Operator that records refunds and lists.
type books struct {
	admin.Operator
	recorded []checkout.RefundRecord
	refusal  error
	filter   ledger.OrderFilter
	state    ledger.EventState
	limit    int
}

func (b *books) RecordReturn(_ context.Context, r checkout.RefundRecord) (ledger.PaymentRecord, error) {
	b.recorded = append(b.recorded, r)
	return ledger.PaymentRecord{Provider: r.Provider, PaymentID: r.PaymentID, OrderID: "ord_1", Currency: "USD", Owed: 5}, b.refusal
}

func (b *books) Owed(_ context.Context, limit int) (ledger.OwedPayments, error) {
	b.limit = limit
	return ledger.OwedPayments{
		List:   ledger.List[ledger.OwedPayment]{Entries: []ledger.OwedPayment{{PaymentID: "pay_1", Reason: ledger.OwedSecondPayment}}, Total: 250},
		Totals: []ledger.OwedTotal{{Owed: checkout.Money{Amount: 250000, Currency: "USD"}, Payments: 250}},
	}, nil
}

func (b *books) Orders(_ context.Context, f ledger.OrderFilter, limit int) (ledger.List[ledger.ListedOrder], error) {
	b.filter, b.limit = f, limit
	return ledger.List[ledger.ListedOrder]{Entries: []ledger.ListedOrder{{OrderID: "ord_1"}}, Total: 7}, nil
}

func (b *books) OrderHistory(_ context.Context, id checkout.ID) (ledger.OrderHistory, error) {
	return ledger.OrderHistory{Order: ledger.OrderRecord{OrderID: id.OrderID()}}, nil
}

func (b *books) Events(_ context.Context, state ledger.EventState, limit int) (ledger.List[ledger.ListedEvent], error) {
	b.state, b.limit = state, limit
	return ledger.List[ledger.ListedEvent]{Entries: []ledger.ListedEvent{{EventID: "evt_1"}}, Total: 9}, nil
}

func (*books) Payments(_ context.Context, id string) ([]ledger.PaymentRecord, error) {
	return []ledger.PaymentRecord{{PaymentID: id}}, nil
}

// clientOf returns a Client of a Handler with the operator, and the Handler's log. The Client belongs to grace.
func clientOf(op admin.Operator) (admin.Client, *bytes.Buffer) {
	log := &bytes.Buffer{}
	logger := slog.New(slog.NewJSONHandler(log, nil))
	logged := admin.Logged{Operator: op, Logger: logger, Who: admin.Caller, Product: func(context.Context, string) (checkout.Product, error) {
		return checkout.Product{Name: "Mug", Price: checkout.Money{Amount: 500, Currency: "USD"}, Stock: 5, MaxQtyPerHold: 2, Version: 7}, nil
	}}
	h := admin.Handler{Operator: logged, Logger: logger, Flush: func() {}}
	return admin.Client{Who: func(context.Context) string { return "grace" }, Invoke: func(ctx context.Context, payload []byte, operator string) ([]byte, error) {
		invocation := &lambdacontext.LambdaContext{}
		if operator != "" {
			invocation.ClientContext.Custom = map[string]string{"operator": operator}
		}
		r, err := h.Invoke(lambdacontext.NewContext(ctx, invocation), payload)
		if err != nil {
			return nil, err
		}
		return json.Marshal(r)
	}}, log
}

func TestClientListsThroughTheHandler(t *testing.T) {
	op := &books{}
	c, _ := clientOf(op)
	ctx := t.Context()
	owed, err := c.Owed(ctx, 1)
	if err != nil || op.limit != 1 || owed.More() != 249 || owed.Entries[0].Reason != ledger.OwedSecondPayment || owed.Totals[0].Owed.Amount != 250000 {
		t.Errorf("Owed returned %+v %v with limit %d, expected 1 of 250 payments and the total", owed, err, op.limit)
	}
	orders, err := c.Orders(ctx, ledger.OrderFilter{ProductID: "lamp", Status: checkout.OrderPaid}, 2)
	if err != nil || op.limit != 2 || op.filter.ProductID != "lamp" || op.filter.Status != checkout.OrderPaid || orders.More() != 6 {
		t.Errorf("Orders returned %+v %v with filter %+v, expected 1 of 7 orders", orders, err, op.filter)
	}
	events, err := c.Events(ctx, ledger.EventReused, 3)
	if err != nil || op.limit != 3 || op.state != ledger.EventReused || events.More() != 8 {
		t.Errorf("Events returned %+v %v in state %s, expected 1 of 9 reused events", events, err, op.state)
	}
	id := checkout.ID{1}
	if h, err := c.OrderHistory(ctx, id); err != nil || h.Order.OrderID != id.OrderID() {
		t.Errorf("OrderHistory returned %+v %v, expected the order %s", h, err, id.OrderID())
	}
	if p, err := c.Payments(ctx, "pay_1"); err != nil || len(p) != 1 || p[0].PaymentID != "pay_1" {
		t.Errorf("Payments returned %+v %v, expected pay_1", p, err)
	}
}

func TestRecordedRefundIsLogged(t *testing.T) {
	op := &books{}
	c, log := clientOf(op)
	record := checkout.RefundRecord{ID: "record:1", Provider: "stripe", PaymentID: "pi_1", Amount: 1000, Note: "private note", Operator: "ada"}
	p, err := c.RecordReturn(t.Context(), record)
	if err != nil || p.Owed != 5 || len(op.recorded) != 1 || op.recorded[0] != record {
		t.Errorf("RecordReturn returned %+v %v after %+v, expected one record", p, err, op.recorded)
	}
	for _, want := range []string{`"operation":"record_refund"`, `"operator":"grace"`, `"named_operator":"ada"`, `"entity":"payment pi_1"`, `"owed":5`, `"payment_id":"pi_1"`, `"amount":1000`, `"currency":"USD"`, `"refund_id":"record:1"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s: %s", want, log)
		}
	}
	op.refusal = checkout.Invalid("amount", "expected at most what the payment still holds")
	log.Reset()
	if _, err := c.RecordReturn(t.Context(), record); checkout.CodeOf(err) != checkout.CodeInvalidRequest || log.Len() > 0 {
		t.Errorf("a refused record: got %v and the log %s, expected invalid_request and no line", err, log)
	}
}

// The id of a record says how it has to begin.
func TestRecordIDStartsWithRecord(t *testing.T) {
	for _, id := range []string{"17", "record:", "re_1"} {
		_, err := (admin.Local{}).RecordReturn(t.Context(), checkout.RefundRecord{ID: id, Provider: "standard", PaymentID: "pay_1", Amount: 1, Note: "bank"})
		var refused *checkout.Error
		if !errors.As(err, &refused) || len(refused.Fields) != 1 || !strings.Contains(refused.Fields[0].Detail, "an id that starts with record:") {
			t.Errorf("the id %q: got %v, expected it to say that an id starts with record:", id, err)
		}
	}
}

// An invalid record is refused before the ledger is asked.
func TestRejectsInvalidRefundRecords(t *testing.T) {
	valid := checkout.RefundRecord{ID: "record:1", Provider: "standard", PaymentID: "pay_1", Amount: 1, Note: "bank"}
	for field, change := range map[string]func(*checkout.RefundRecord){
		"id":         func(r *checkout.RefundRecord) { r.ID = "re_1" },
		"provider":   func(r *checkout.RefundRecord) { r.Provider = "paypal" },
		"payment_id": func(r *checkout.RefundRecord) { r.PaymentID = "" },
		"amount":     func(r *checkout.RefundRecord) { r.Amount = 0 },
		"note":       func(r *checkout.RefundRecord) { r.Note = strings.Repeat("x", 501) },
		"operator":   func(r *checkout.RefundRecord) { r.Operator = strings.Repeat("x", 256) },
	} {
		r := valid
		change(&r)
		if _, err := (admin.Local{}).RecordReturn(t.Context(), r); err == nil || checkout.CodeOf(err) != checkout.CodeInvalidRequest || !strings.Contains(fieldsOf(err), field) {
			t.Errorf("an invalid %s: got %v, expected it refused", field, err)
		}
	}
}

func fieldsOf(err error) string {
	c, _ := err.(*checkout.Error) //nolint:errorlint // the test wants it unwrapped
	if c == nil || len(c.Fields) == 0 {
		return ""
	}
	return c.Fields[0].Field
}
