package checkout

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Payment is one attempt to pay at one provider. Its money is in its own currency, in minor units.
type Payment struct {
	Provider, ID string
	Order        *ID    // nil until its success arrives
	Currency     string // empty until its success arrives
	Received     int64  // captured by the provider
	Returned     int64  // refunds that have not failed, and lost disputes; may exceed Received
	Unsent       int64  // refunds that failed and were not repeated
	Exact        bool   // it received exactly the order's amount, in its currency
	Settles      bool   // it pays for the order's units
}

// Held returns what was received and not returned.
func (p Payment) Held() int64 { return max(p.Received-p.Returned, 0) }

// Kept returns what the payment holds and nobody asked back: a failed refund shows that the shop wants to return it.
func (p Payment) Kept() int64 { return max(p.Received-p.Returned-p.Unsent, 0) }

// Owed returns what has to go back to the shopper.
func (p Payment) Owed() int64 {
	if p.Settles {
		return p.Held() - p.Kept()
	}
	return p.Held()
}

// CanSettle reports whether the payment can pay for an order of the given amount: it received exactly that, and some of
// it is still there. A free order needs no money.
func (p Payment) CanSettle(orderAmount int64) bool {
	return p.Exact && (p.Kept() > 0 || orderAmount == 0)
}

// Standing is what an order's units and payments say about it.
type Standing struct {
	Status OrderStatus
	Reason Reason
}

// StandingOf returns an order's status and reason. They follow from where its units are and from the sums of its
// payments, not from the order in which events arrived. unpaid is the standing before any money: pending_payment, or
// cancelled with its reason.
//
//	units            money                              status
//	sold             a payment settles, or it is free   paid, even if another payment is owed back
//	any              something is owed back             refund_due
//	any              all that was received went back    refunded
//	reserved, none   nothing was received               unpaid
//
// The reason of refund_due is amount_mismatch if no payment had the right amount, else late_payment.
func StandingOf(units StockPlace, amount int64, payments []Payment, unpaid Standing) Standing {
	var received, owed int64
	settled, exact := amount == 0, false
	for _, p := range payments {
		received += p.Received
		owed += p.Owed()
		settled = settled || p.Settles
		exact = exact || p.Exact
	}
	switch {
	case units == StockSold && settled:
		return Standing{Status: OrderPaid}
	case owed > 0 && exact:
		return Standing{OrderRefundDue, ReasonLatePayment}
	case owed > 0:
		return Standing{OrderRefundDue, ReasonAmountMismatch}
	case received > 0:
		return Standing{Status: OrderRefunded}
	}
	return unpaid
}

// Settle decides which payment settles an order, and returns where its units are afterwards. It sets Settles of the
// payments, which are in the order in which they became known. The payment that keeps most settles, so that what is owed
// does not depend on the order of events; among equals the one that settles goes on, else the first.
// take takes units from the available stock, and reports whether there were enough; it is called only for an order
// without units.
func Settle(units StockPlace, amount int64, payments []Payment, take func() bool) StockPlace {
	best, received := -1, int64(0)
	for i, p := range payments {
		received += p.Received
		if p.CanSettle(amount) && (best < 0 || p.Kept() > payments[best].Kept() || p.Kept() == payments[best].Kept() && p.Settles) {
			best = i
		}
	}
	switch {
	case best >= 0 && (units != StockAvailable || take()):
		units = StockSold
	case units == StockReserved && received > 0:
		units, best = StockAvailable, -1
	default:
		best = -1
	}
	for i := range payments {
		payments[i].Settles = i == best
	}
	return units
}

// Refund is money that goes back, or may: one refund, one dispute, or one return that an operator recorded.
type Refund struct {
	ID       string
	Kind     RefundKind
	Status   RefundStatus
	Amount   *int64 // nil: all that is left
	Currency string // empty: the payment's
}

// RefundKind says how money goes back.
type RefundKind string

// The kinds of refunds.
const (
	RefundByProvider RefundKind = "refund"
	RefundByDispute  RefundKind = "dispute"
	RefundRecorded   RefundKind = "record" // outside of the provider, recorded by an operator
)

// RefundStatus is the state of a refund. It only moves forward, whichever event arrives last: sent to failed, open to won
// to lost.
type RefundStatus string

// The states of a refund (sent, failed) and of a dispute (open, won, lost).
const (
	RefundSent   RefundStatus = "sent"
	RefundFailed RefundStatus = "failed"
	DisputeOpen  RefundStatus = "open"
	DisputeWon   RefundStatus = "won"
	DisputeLost  RefundStatus = "lost"
)

// Returns computes the sums of a payment from its refunds. refundedSum is the highest sum of refunds that the provider
// reported for the whole payment: it includes refunds that failed later. A refund in another currency than the payment
// does not count; a payment has no currency before its success. A failed refund is unsent until another refund of the same amount goes through.
func Returns(received int64, currency string, refundedSum int64, refunds []Refund) (returned, unsent int64) {
	sent, failed := map[int64]int64{}, map[int64]int64{}
	var known, failedSum int64
	all := false
	for _, r := range refunds {
		if r.Currency != "" && currency != "" && r.Currency != currency {
			continue
		}
		amount := received
		if r.Amount != nil {
			amount = *r.Amount
		}
		switch r.Status {
		case RefundSent, DisputeLost:
			sent[amount]++
			if r.Amount != nil {
				known += amount
			}
			all = all || r.Amount == nil
		case RefundFailed:
			failed[amount]++
			failedSum += amount
		case DisputeOpen, DisputeWon:
		}
	}
	returned = max(known, refundedSum-failedSum)
	if all {
		returned = max(returned, received)
	}
	for amount, n := range failed {
		unsent += amount * max(n-sent[amount], 0)
	}
	return returned, unsent
}

// RefundRecord is money of a payment that went back outside of its provider, as an operator records it. Its JSON is the
// request of the admin function.
type RefundRecord struct {
	ID        string `json:"id"` // made by the caller, so that a retry records nothing twice
	Provider  string `json:"provider"`
	PaymentID string `json:"payment_id"`
	Amount    int64  `json:"amount"` // minor units of the payment's currency
	Note      string `json:"note"`
	Operator  string `json:"operator"` // may be empty
}

// The limits of a RefundRecord, in characters.
const (
	maxNote     = 500
	maxOperator = 255
)

// Check refuses values that no record can have. Codes: invalid_request.
func (r RefundRecord) Check() error {
	switch {
	case r.ID == "" || len(r.ID) > maxOperator:
		return Invalid("id", "expected an id of this record")
	case r.Amount <= 0:
		return Invalid("amount", "expected more than 0")
	case strings.TrimSpace(r.Note) == "" || utf8.RuneCountInString(r.Note) > maxNote || !utf8.ValidString(r.Note):
		return Invalid("note", fmt.Sprintf("expected 1 to %d characters", maxNote))
	case utf8.RuneCountInString(r.Operator) > maxOperator || !utf8.ValidString(r.Operator):
		return Invalid("operator", fmt.Sprintf("expected at most %d characters", maxOperator))
	}
	return nil
}
