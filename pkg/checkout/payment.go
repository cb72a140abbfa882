package checkout

import (
	"crypto/sha256"
	"time"
)

// The payment providers. With the event's id the name is an event's identity, so a name never changes.
const (
	ProviderStandard = "standard" // any sender that follows Standard Webhooks
	ProviderStripe   = "stripe"
)

// PaymentKind is what a payment event says about a payment, whichever provider sent it.
type PaymentKind string

// The kinds of payment events.
const (
	PaymentSucceeded    PaymentKind = "succeeded"     // the provider captured Amount
	PaymentFailed       PaymentKind = "failed"        // no money will come; a decline that can be retried is PaymentOther
	PaymentRefunded     PaymentKind = "refunded"      // one refund of Amount, or of all that is left
	PaymentRefundedSum  PaymentKind = "refunded_sum"  // Amount is the sum of all refunds of the payment so far
	PaymentRefundFailed PaymentKind = "refund_failed" // the refund did not reach the shopper
	PaymentDisputed     PaymentKind = "disputed"      // the shopper's bank asks for the money back
	PaymentDisputeWon   PaymentKind = "dispute_won"
	PaymentDisputeLost  PaymentKind = "dispute_lost" // the bank took Amount back, or all that was left
	PaymentProcessing   PaymentKind = "processing"   // a payment is under way; it brings no money
	PaymentOther        PaymentKind = "other"        // recorded, without effect
)

// PaymentEvent is one event of a payment provider with a verified signature. Provider and EventID are its identity,
// the same in every delivery. A success always has a PaymentID: the event's id if the provider gives none.
type PaymentEvent struct {
	Provider   string // ProviderStandard or ProviderStripe
	EventID    string
	Type       string // the provider's name for it, such as "payment_intent.succeeded"
	Kind       PaymentKind
	Subject    *ID    // the order, or the hold it is made from; nil when the event names none
	PaymentID  string // the provider's id of the payment; empty when the event names none
	RefundID   string // the provider's id of the refund or dispute; empty when the event is about neither
	Amount     Money  // zero when the event has none; a refund may have an amount without a currency
	Digest     [sha256.Size]byte
	OccurredAt *time.Time // by the provider's clock; informational only
}

// EventRef is the identity of an event.
type EventRef struct{ Provider, EventID string }

// PaymentResult is the effect of one delivery.
type PaymentResult string

// The results of a delivery.
const (
	PaymentApplied   PaymentResult = "applied"   // it changed a payment or an order
	PaymentDuplicate PaymentResult = "duplicate" // this event was applied or ignored before
	PaymentIgnored   PaymentResult = "ignored"   // recorded; it says nothing new
	PaymentUnmatched PaymentResult = "unmatched" // recorded; the order or the payment it is about is not known yet
	PaymentStored    PaymentResult = "stored"    // recorded; applying it failed, and the sweep tries again
)

// RejectedEvent is a verified event that cannot be read, or whose id was used by another event. It has no effect and
// is kept for an operator.
type RejectedEvent struct {
	Provider string
	EventID  string
	Type     string // empty if it cannot be read
	Detail   string // why, without any part of the body but names of fields
	Digest   [sha256.Size]byte
}

// UnreadableError refuses a verified event that cannot be read. The caller gets the refusal, the operator the event.
type UnreadableError struct {
	Event   RejectedEvent
	Refusal *Error
}

func (e *UnreadableError) Error() string { return e.Refusal.Error() }

// Unwrap returns the refusal.
func (e *UnreadableError) Unwrap() error { return e.Refusal }
