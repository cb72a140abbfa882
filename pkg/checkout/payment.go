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

// PaymentKind is what a payment event means to an order, whichever provider sent it.
type PaymentKind string

// The kinds of payment events.
const (
	PaymentSucceeded PaymentKind = "succeeded" // the money was captured
	PaymentFailed    PaymentKind = "failed"    // the payment ended without money; a decline that can be retried is PaymentOther
	PaymentRefunded  PaymentKind = "refunded"  // all of the money was returned
	PaymentOther     PaymentKind = "other"     // recorded, without effect
)

// PaymentEvent is one event of a payment provider with a verified signature. Provider and EventID are its identity,
// the same in every delivery.
type PaymentEvent struct {
	Provider   string // ProviderStandard or ProviderStripe
	EventID    string
	Type       string // the provider's name for it, such as "payment_intent.succeeded"
	Kind       PaymentKind
	Subject    *ID    // the order, or the hold it is made from; nil when the event names none
	PaymentID  string // the provider's id of the payment; may be empty
	Amount     Money  // the amount paid; zero when the event has none
	Digest     [sha256.Size]byte
	OccurredAt *time.Time // by the provider's clock; informational only
	// Stored marks an event that Ledger.UnmatchedEvents returned. Applying it retries its effect and counts no delivery.
	Stored bool
}

// PaymentResult is the effect of one delivery.
type PaymentResult string

// The results of a delivery.
const (
	PaymentApplied   PaymentResult = "applied"   // the order changed
	PaymentDuplicate PaymentResult = "duplicate" // this event was applied or ignored before
	PaymentIgnored   PaymentResult = "ignored"   // recorded; it changes nothing in this state
	PaymentUnmatched PaymentResult = "unmatched" // recorded; its hold or order does not exist yet
)
