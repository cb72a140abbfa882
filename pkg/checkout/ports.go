package checkout

import (
	"context"
	"time"
)

// Ledger is the authority. Every change of state is one call that happens as a whole or not at all, by the
// database's clock. A call may be repeated with the same arguments after its response was lost.
//
// A refusal is an *Error with a code that the method lists. Every method can also return two other
// errors: busy, if the database cannot be reached or a lock was held for too long, and an internal error for a defect.
type Ledger interface {
	// PlaceHold reserves units. Codes: product_not_found, sold_out, sale_not_started, sale_ended, qty_over_limit,
	// idempotency_key_reused, shopper_limit, unauthenticated. The receipt of a refusal still has the product, if it exists.
	PlaceHold(ctx context.Context, req HoldRequest) (Receipt, error)
	// ReleaseHold returns a hold's units to the stock. It changes nothing once the hold has ended. Codes:
	// hold_not_found, hold_ordered.
	ReleaseHold(ctx context.Context, by Caller, hold ID) (Receipt, error)
	// CreateOrder turns an active hold into an order, once. Codes: hold_not_found, hold_released, hold_expired.
	CreateOrder(ctx context.Context, by Caller, hold ID, times OrderTerms) (Receipt, error)
	// CancelOrder cancels an unpaid order. Codes: order_not_found, order_not_cancellable.
	CancelOrder(ctx context.Context, by Caller, order ID) (Receipt, error)
	// ApplyEvent stores an event and applies it, once. If applying fails, the event is stored alone. Codes:
	// event_id_reused.
	ApplyEvent(ctx context.Context, event PaymentEvent, paymentWindow time.Duration) (PaymentReceipt, error)
	// RetryEvent applies a stored event again. It counts no delivery.
	RetryEvent(ctx context.Context, event EventRef, paymentWindow time.Duration) (PaymentReceipt, error)
	// RejectEvent keeps a verified event that cannot be read.
	RejectEvent(ctx context.Context, event RejectedEvent) error
	// ExpireDue reclaims the stock of a batch of due holds and unpaid orders of a product, the most overdue first.
	// Codes: product_not_found.
	ExpireDue(ctx context.Context, productID string, batch DueBatch) (SweepReceipt, error)

	// Hold reads a hold. Codes: hold_not_found.
	Hold(ctx context.Context, by Caller, id ID) (Hold, error)
	// Order reads an order. Codes: order_not_found.
	Order(ctx context.Context, by Caller, id ID) (Order, error)
	// HoldsOf lists the holds of a shopper that were placed before another one, the latest first.
	HoldsOf(ctx context.Context, shopper Shopper, before ID, limit int) ([]Hold, error)
	// OrdersOf lists the orders of a shopper whose holds were placed before another one, the latest first. If it stopped
	// early, next is where to continue.
	OrdersOf(ctx context.Context, shopper Shopper, before ID, limit int) (orders []Order, next *ID, err error)
	// Products lists products by id, starting after the given one.
	Products(ctx context.Context, after string, limit int) ([]Product, error)
	// KeyUsed reports whether there is a hold that was placed with the idempotency key.
	KeyUsed(ctx context.Context, key IdempotencyKey) (bool, error)
	// DueProducts lists the products with due holds or orders.
	DueProducts(ctx context.Context, limit int) ([]string, error)
	// WaitingEvents lists stored events whose next try is due, the longest due first.
	WaitingEvents(ctx context.Context, limit int) ([]EventRef, error)
	// EventsWaitingFor lists stored events that wait for a payment of this order, or for the order itself.
	EventsWaitingFor(ctx context.Context, order ID) ([]EventRef, error)
	// Check fails if the database does not respond, or lacks what this program calls.
	Check(ctx context.Context) error
}

// HoldRequest describes a hold to place. The caller makes ID before the call, so that a retry finds the first hold.
type HoldRequest struct {
	ID        ID
	Shopper   Shopper
	ProductID string
	Qty       int64
	TTL       time.Duration
	Key       *IdempotencyKey // the shopper's own: see Shopper.Key
	// Price and MaxPerShopper are the product's as the caller last saw them; a nil Price means that it saw neither. Current
	// values save the ledger a read. The hold gets the product's current price and limit in any case.
	Price         *Money
	MaxPerShopper *int64
}

// OrderTerms are what a new order gets: how long it waits for its payment, and the merchant's reference.
type OrderTerms struct {
	Window time.Duration // from the order
	// Unpaid limits the time from the hold, unless there is a sign of payment; 0: no limit.
	Unpaid time.Duration
	// Reference is kept with the order if it has none yet; empty: none.
	Reference string
}

// DueBatch limits one ExpireDue: at most this many holds and orders, without the first Skip of each.
type DueBatch struct{ Holds, Orders, Skip int }

// Receipt is the state after a ledger call: the hold, its order, and the product for the stock view. Entities that the
// call does not concern are nil.
type Receipt struct {
	Hold    *Hold
	Order   *Order
	Product *Product
	// Repeated is set when an earlier call did the work: the same Idempotency-Key, an existing order, a hold already
	// released, an order already cancelled.
	Repeated bool
}

// PaymentReceipt is the state after ApplyEvent. Order is nil when there is none.
type PaymentReceipt struct {
	Receipt
	Result PaymentResult
	Wakes  bool  // other stored events wait for what this one brought
	Cause  error // why a stored event was not applied; for the log
}

// SweepReceipt is the state after ExpireDue.
type SweepReceipt struct {
	Receipt
	Holds  int           // holds expired
	Orders int           // orders cancelled for payment_timeout
	Lag    time.Duration // how overdue the oldest of them was
}

// StockView is the cache in front of the ledger, with one entry per product. It serves reads and early refusals. It may
// be stale, empty, wrong or unavailable, because only the ledger grants. Cache failures are never errors: the view
// asks the ledger instead.
type StockView interface {
	// Lookup returns the latest known state of a product, from its cache entry or else from the ledger. key may be nil.
	// A product that is new may be unknown for two seconds. Errors are the ledger's. With an error, only FromLedger is set.
	// Codes: product_not_found.
	Lookup(ctx context.Context, productID string, key *IdempotencyKey) (Lookup, error)
	// Products lists products by id, starting after the given one, at most two seconds old. Errors are the ledger's.
	Products(ctx context.Context, after string, limit int) ([]Product, error)
	// Put stores the state that a ledger call returned, unless the cache has a later one. granted, if not nil, is the
	// key of a hold that exists.
	Put(ctx context.Context, p Product, granted *IdempotencyKey)
	// ForgetKeys drops what the view knows of a product's used keys, after some of them were deleted. Otherwise a deleted key
	// could stand for a new one that is missing.
	ForgetKeys(ctx context.Context, productID string)
	// AskAgain reports whether this caller shall ask the ledger for a hold that the view refuses as sold out. About once per
	// second and product it says yes: units may be due that nobody has reclaimed.
	AskAgain(ctx context.Context, productID string) bool
	// Ping checks that the cache responds and takes writes.
	Ping(ctx context.Context) error
}

// RecentKeys are the idempotency keys of a part of the holds.
type RecentKeys struct {
	Keys  []IdempotencyKey
	First *ID // the earliest hold of the part; nil if there is none before
}

// Lookup is the result of a lookup in the stock view.
type Lookup struct {
	Product Product
	// FromLedger is set when the cache had no usable entry, so that the state, or the error, came from a ledger call.
	FromLedger bool
	// KeyUnused is set when the view can prove that the key never placed a hold of this product.
	KeyUnused bool
}
