package checkout

import "slices"

// Tally collects what the events of one payment say. The audit and the tests recompute payments with it.
type Tally struct {
	successes   []PaymentEvent
	refundedSum int64
	refunds     map[string]Refund
}

// Add adds an event that names this payment. Events of one payment may be added in any order.
func (t *Tally) Add(e PaymentEvent) {
	switch e.Kind {
	case PaymentSucceeded:
		t.successes = append(t.successes, e)
	case PaymentRefundedSum:
		t.refundedSum = max(t.refundedSum, e.Amount.Amount)
	case PaymentRefunded:
		t.AddRefund(refundOf(e, RefundByProvider, RefundSent))
	case PaymentRefundFailed:
		t.AddRefund(refundOf(e, RefundByProvider, RefundFailed))
	case PaymentDisputed:
		t.AddRefund(refundOf(e, RefundByDispute, DisputeOpen))
	case PaymentDisputeWon:
		t.AddRefund(refundOf(e, RefundByDispute, DisputeWon))
	case PaymentDisputeLost:
		t.AddRefund(refundOf(e, RefundByDispute, DisputeLost))
	case PaymentFailed, PaymentOther: // they bring no money, and take none
	}
}

func refundOf(e PaymentEvent, kind RefundKind, status RefundStatus) Refund {
	r := Refund{ID: e.RefundID, Kind: kind, Status: status, Currency: e.Amount.Currency}
	if r.ID == "" {
		r.ID = e.EventID
	}
	if e.Amount != (Money{}) {
		r.Amount = &e.Amount.Amount
	}
	return r
}

// AddRefund adds what is known of a refund to what was known before: its status only moves forward, and its amount is
// the highest that was given.
func (t *Tally) AddRefund(r Refund) {
	if t.refunds == nil {
		t.refunds = map[string]Refund{}
	}
	if known, ok := t.refunds[r.ID]; ok {
		if known.Status.rank() > r.Status.rank() {
			r.Status = known.Status
		}
		if known.Amount != nil && (r.Amount == nil || *known.Amount > *r.Amount) {
			r.Amount = known.Amount
		}
		if known.Currency != "" {
			r.Currency = known.Currency
		}
	}
	t.refunds[r.ID] = r
}

// Said reports whether a success for the order said exactly this amount, even if a later one said more.
func (t *Tally) Said(order ID, amount Money) bool {
	return slices.ContainsFunc(t.successes, func(e PaymentEvent) bool {
		return e.Subject != nil && *e.Subject == order && e.Amount == amount
	})
}

// RefundedSum returns the highest sum of refunds that the provider reported for the whole payment.
func (t *Tally) RefundedSum() int64 { return t.refundedSum }

// Refund returns what is known of a refund.
func (t *Tally) Refund(id string) (Refund, bool) {
	r, ok := t.refunds[id]
	return r, ok
}

func (s RefundStatus) rank() int {
	return slices.Index([]RefundStatus{RefundSent, RefundFailed, DisputeOpen, DisputeWon, DisputeLost}, s)
}

// Payment returns the payment that the events describe, for an order of the given amount. Settles is not set. A success
// for another order, or in another currency than the first, does not count.
func (t *Tally) Payment(provider, id string, order ID, amount Money) Payment {
	p := Payment{Provider: provider, ID: id}
	for _, e := range t.successes {
		if e.Subject == nil || *e.Subject != order || (p.Currency != "" && p.Currency != e.Amount.Currency) {
			continue
		}
		p.Order, p.Currency = &order, e.Amount.Currency
		p.Received = max(p.Received, e.Amount.Amount)
	}
	p.Exact = p.Order != nil && p.Received == amount.Amount && p.Currency == amount.Currency
	var refunds []Refund
	for _, r := range t.refunds {
		refunds = append(refunds, r)
	}
	p.Returned, p.Unsent = Returns(p.Received, p.Currency, t.refundedSum, refunds)
	return p
}
