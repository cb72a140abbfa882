package checkout

import (
	"crypto/sha256"
	"time"
)

// PaymentKind is what an event of any provider means to an order.
type PaymentKind string

// The kinds of payment events.
const (
	PaymentSucceeded PaymentKind = "succeeded" // the money is there
	PaymentFailed    PaymentKind = "failed"    // the payment has ended without money; a decline that may be retried is PaymentOther
	PaymentRefunded  PaymentKind = "refunded"  // all of the money has gone back
	PaymentOther     PaymentKind = "other"     // recorded, without effect
)

// PaymentEvent is one event of a payment provider, whose signature has been verified. Provider and EventID
// together are its identity, however often it is delivered.
type PaymentEvent struct {
	Provider   string // "standard" or "stripe"
	EventID    string
	Type       string // the provider's own word for it, such as "payment_intent.succeeded"
	Kind       PaymentKind
	Subject    *ID    // the order, or the hold it is made from; nil when the event names none
	PaymentID  string // the provider's id of the payment; may be empty
	Amount     Money  // what was paid; zero when the event does not say
	Digest     [sha256.Size]byte
	OccurredAt *time.Time // by the provider's clock; kept for people, decides nothing
}

// PaymentResult is what became of a delivery.
type PaymentResult string

// The results of a delivery.
const (
	PaymentApplied   PaymentResult = "applied"   // the order moved
	PaymentDuplicate PaymentResult = "duplicate" // this event was applied or ignored before
	PaymentIgnored   PaymentResult = "ignored"   // recorded; it changes nothing in this state
	PaymentUnmatched PaymentResult = "unmatched" // recorded; there is no such hold or order yet
)

// PaymentOutcome is the answer to a delivery. Order is nil when there is none.
type PaymentOutcome struct {
	Result PaymentResult
	Order  *Order
}
