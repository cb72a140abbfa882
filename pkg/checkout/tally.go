package checkout

import "slices"

// Tally collects what the events of one payment say. The audit and the tests recompute payments with it.
type Tally struct {
	successes   []PaymentEvent
	refundedSum map[string]int64    // by currency; "" for events without one
	refunds     map[string][]Refund // by id: what each event said
}

// Add adds an event that names this payment. Events of one payment may be added in any order.
func (t *Tally) Add(e PaymentEvent) {
	switch e.Kind {
	case PaymentSucceeded:
		t.successes = append(t.successes, e)
	case PaymentRefundedSum:
		if t.refundedSum == nil {
			t.refundedSum = map[string]int64{}
		}
		t.refundedSum[e.Amount.Currency] = max(t.refundedSum[e.Amount.Currency], e.Amount.Amount)
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
	case PaymentFailed, PaymentProcessing, PaymentOther: // they bring no money, and take none
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
		t.refunds = map[string][]Refund{}
	}
	t.refunds[r.ID] = append(t.refunds[r.ID], r)
}

// Refund returns what is known of a refund of a payment in the given currency. An event in another currency says nothing,
// unless all are. Where none is in the payment's currency, the first of the alphabet decides: in every order the same.
func (t *Tally) Refund(id, currency string) (known Refund, ok bool) {
	said := t.refunds[id]
	if len(said) == 0 {
		return Refund{}, false
	}
	in := func(currency string) func(Refund) bool {
		return func(r Refund) bool { return r.Currency == "" || r.Currency == currency }
	}
	if currency == "" || !slices.ContainsFunc(said, in(currency)) {
		currency = ""
		for _, r := range said {
			if r.Currency != "" && (currency == "" || r.Currency < currency) {
				currency = r.Currency
			}
		}
	}
	for _, r := range said {
		if !in(currency)(r) {
			continue
		}
		if !ok {
			known, ok = r, true
			continue
		}
		if r.Status.rank() > known.Status.rank() {
			known.Status = r.Status
		}
		if known.Amount == nil || (r.Amount != nil && *r.Amount > *known.Amount) {
			known.Amount = r.Amount
		}
		if known.Currency == "" {
			known.Currency = r.Currency
		}
	}
	return known, ok
}

// Said reports whether a success for the order said exactly this amount, even if a later one said more.
func (t *Tally) Said(order ID, amount Money) bool {
	return slices.ContainsFunc(t.successes, func(e PaymentEvent) bool {
		return e.Subject != nil && *e.Subject == order && e.Amount == amount
	})
}

// RefundedSum returns the highest sum of refunds that the provider reported for the whole payment, in its currency. Before
// the payment has one, any counts.
func (t *Tally) RefundedSum(currency string) (sum int64) {
	for c, amount := range t.refundedSum {
		if c == currency || c == "" || currency == "" {
			sum = max(sum, amount)
		}
	}
	return sum
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
	for id := range t.refunds {
		r, _ := t.Refund(id, p.Currency)
		refunds = append(refunds, r)
	}
	p.Returned, p.Unsent = Returns(p.Received, p.Currency, t.RefundedSum(p.Currency), refunds)
	return p
}
