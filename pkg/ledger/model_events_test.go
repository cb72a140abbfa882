package ledger_test

import (
	"fmt"
	"slices"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

func (m *machine) event(t *rapid.T) { m.send(t, m.drawEvent(t)) }

// drawEvent makes an event of one of three payments of a hold: A and B at one provider, and A at another. One in ten events
// names an id without a hold, and one in ten successes a payment of another hold.
func (m *machine) drawEvent(t *rapid.T) checkout.PaymentEvent {
	id := ledgertest.NewID()
	if len(m.ids) > 0 && rapid.IntRange(0, 9).Draw(t, "unknown") > 0 {
		id, _ = m.draw(t)
	}
	e := checkout.PaymentEvent{
		Provider: checkout.ProviderStandard, EventID: uuid.NewString(), PaymentID: id.OrderID() + "A", Kind: rapid.SampledFrom([]checkout.PaymentKind{
			checkout.PaymentSucceeded, checkout.PaymentSucceeded, checkout.PaymentSucceeded, checkout.PaymentSucceeded, checkout.PaymentFailed,
			checkout.PaymentRefunded, checkout.PaymentRefunded, checkout.PaymentRefundedSum, checkout.PaymentRefundFailed, checkout.PaymentDisputed,
			checkout.PaymentDisputeWon, checkout.PaymentDisputeLost,
		}).Draw(t, "event"),
	}
	switch rapid.IntRange(0, 3).Draw(t, "payment") {
	case 0:
		e.PaymentID = id.OrderID() + "B"
	case 1:
		e.Provider = checkout.ProviderStripe
	}
	e.Type = "payment." + string(e.Kind)
	all := int64(unitPrice)
	if a := m.accounts[id]; a != nil {
		all = a.amount.Amount
	}
	usd := func(amount int64) checkout.Money { return checkout.Money{Amount: amount, Currency: "USD"} }
	some := []checkout.Money{{}, usd(max(all, 1)), usd(max(all/3, 1)), {Amount: max(all, 1), Currency: "EUR"}}
	switch e.Kind {
	case checkout.PaymentSucceeded:
		e.Subject, e.Amount = &id, rapid.SampledFrom([]checkout.Money{
			usd(all), usd(all), usd(all), usd(1), usd(0), usd(all + 1), {Amount: all, Currency: "EUR"},
		}).Draw(t, "amount")
		if len(m.ids) > 0 && rapid.IntRange(0, 9).Draw(t, "payment of another hold") == 0 {
			other, _ := m.draw(t)
			e.PaymentID = other.OrderID() + "A"
		}
	case checkout.PaymentFailed:
		e.Subject = &id
	case checkout.PaymentRefundedSum:
		e.Amount = rapid.SampledFrom(some[1:3]).Draw(t, "sum")
	case checkout.PaymentRefunded, checkout.PaymentRefundFailed:
		e.RefundID = fmt.Sprint(e.PaymentID, "r", rapid.IntRange(1, 2).Draw(t, "refund"))
		e.Amount = rapid.SampledFrom(some).Draw(t, "amount")
	default:
		e.RefundID = e.PaymentID + "d"
		e.Amount = rapid.SampledFrom(some[:3]).Draw(t, "amount")
	}
	m.sent = append(m.sent, e)
	return e
}

// eventsTogether sends usual payments, and a few others, as one batch. Those that share its call come first, and the others
// follow, each by itself.
func (m *machine) eventsTogether(t *rapid.T) {
	var batch []checkout.PaymentEvent
	for range rapid.IntRange(2, 5).Draw(t, "events") {
		switch rapid.IntRange(0, 7).Draw(t, "usual") {
		case 0:
			batch = append(batch, m.drawEvent(t))
		case 1:
			if len(m.sent) > 0 {
				batch = append(batch, rapid.SampledFrom(m.sent).Draw(t, "event"))
			}
		default:
			id, a := m.draw(t)
			e := checkout.PaymentEvent{
				Provider: checkout.ProviderStandard, EventID: uuid.NewString(), Type: "payment.succeeded", Kind: checkout.PaymentSucceeded,
				Subject: &id, PaymentID: id.OrderID() + "A", Amount: a.amount,
			}
			m.sent, batch = append(m.sent, e), append(batch, e)
		}
	}
	if len(batch) == 0 {
		t.Skip("no event yet")
	}
	applied := m.ledger.ApplyTogether(m.ctx, m.product, batch, window)
	for _, shared := range []bool{true, false} {
		for i, a := range applied {
			if a.Shared == shared {
				m.wantResult(t, batch[i], a.Receipt, a.Err)
			}
		}
	}
}

func (m *machine) redeliver(t *rapid.T) {
	if len(m.sent) == 0 {
		t.Skip("no event yet")
	}
	m.send(t, rapid.SampledFrom(m.sent).Draw(t, "event"))
}

func (m *machine) send(t *rapid.T, e checkout.PaymentEvent) {
	receipt, err := m.ledger.ApplyEvent(m.ctx, e, window)
	m.wantResult(t, e, receipt, err)
}

// wantResult checks what became of an event, and changes the model.
func (m *machine) wantResult(t *rapid.T, e checkout.PaymentEvent, receipt checkout.PaymentReceipt, err error) {
	must(t, err)
	must(t, receipt.Cause)
	if want := m.deliver(e); !slices.Contains(want, receipt.Result) {
		t.Fatalf("%+v: got %s, expected %v", e, receipt.Result, want)
	}
}
