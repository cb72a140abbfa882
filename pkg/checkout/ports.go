package checkout

import (
	"context"
	"time"
)

// Ledger is the authority: every change of state is one call that either happened whole or not at all, and every
// answer is by the database's clock. A call may be repeated with the same arguments after its answer was lost.
//
// Refusals come back as *Error with the code that the method names. Every method can also return busy, when the
// database cannot be reached or a lock was held for too long, and an internal error for what should not happen.
type Ledger interface {
	// PlaceHold reserves units. Codes: product_not_found, sold_out, sale_not_started, sale_ended, qty_over_limit,
	// idempotency_key_reused. A refusal still carries the product's state where there is a product.
	PlaceHold(ctx context.Context, req HoldRequest) (Receipt, error)
	// ReleaseHold gives a hold's units back; releasing what has ended changes nothing. Codes: hold_not_found,
	// hold_ordered.
	ReleaseHold(ctx context.Context, hold ID) (Receipt, error)
	// CreateOrder turns an active hold into an order, once. Codes: hold_not_found, hold_released, hold_expired.
	CreateOrder(ctx context.Context, hold ID, paymentWindow time.Duration) (Receipt, error)
	// CancelOrder cancels an unpaid order. Codes: order_not_found, order_not_cancellable.
	CancelOrder(ctx context.Context, order ID) (Receipt, error)
	// ApplyPayment records an event and does what Transitions says, once.
	ApplyPayment(ctx context.Context, event PaymentEvent, paymentWindow time.Duration) (PaymentReceipt, error)
	// ExpireDue takes back the stock of a batch of due holds and unpaid orders of a product, the most overdue first.
	// Codes: product_not_found.
	ExpireDue(ctx context.Context, productID string, batch DueBatch) (SweepReceipt, error)

	// Hold reads a hold. Codes: hold_not_found.
	Hold(ctx context.Context, id ID) (Hold, error)
	// Order reads an order. Codes: order_not_found.
	Order(ctx context.Context, id ID) (Order, error)
	// Products lists products by id, beginning after the given one.
	Products(ctx context.Context, after string, limit int) ([]Product, error)
	// KeyUsed reports whether a hold was ever placed with an idempotency key.
	KeyUsed(ctx context.Context, key IdempotencyKey) (bool, error)
	// DueProducts lists products that have something to expire.
	DueProducts(ctx context.Context, limit int) ([]string, error)
	// UnmatchedEvents lists unmatched events younger than maxAge whose hold exists by now.
	UnmatchedEvents(ctx context.Context, maxAge time.Duration, limit int) ([]PaymentEvent, error)
	// Ping reports whether the database answers.
	Ping(ctx context.Context) error
}

// HoldRequest asks for a hold. ID is made by the caller before the call, so that a repeat finds the first's hold.
type HoldRequest struct {
	ID        ID
	ProductID string
	Qty       int64
	TTL       time.Duration
	Key       *IdempotencyKey
	// Price is what the caller believes the product's price to be, if it has looked: right, it saves the ledger a read;
	// wrong, the ledger looks itself. The hold gets the product's own price in any case.
	Price *Money
}

// DueBatch bounds one ExpireDue: at most so many holds and orders, after passing over the first Skip of each.
type DueBatch struct{ Holds, Orders, Skip int }

// Receipt is what a ledger call left behind: the entities as they stand and the product's counters, for the
// stock view. Parts that the call has nothing to do with are nil.
type Receipt struct {
	Hold    *Hold
	Order   *Order
	Product *Product
	// Repeated is set when an earlier call had done the work: the same Idempotency-Key, an order that exists,
	// a hold already released, an order already cancelled.
	Repeated bool
}

// PaymentReceipt is what ApplyPayment left behind.
type PaymentReceipt struct {
	Receipt
	Result PaymentResult
}

// SweepReceipt is what ExpireDue left behind.
type SweepReceipt struct {
	Receipt
	Holds  int           // holds expired
	Orders int           // orders cancelled for payment_timeout
	Lag    time.Duration // how long the most overdue of them had been due
}

// StockView is the cache in front of the ledger: an entry a product for reads and for refusing early. It may be
// stale, empty, wrong or away; only the ledger grants. No method fails: what the cache cannot do is done without.
type StockView interface {
	// Look returns the latest known state of a product, from its entry or, when there is none, from the ledger.
	// unused is set when the view can prove that key was never used for a hold of this product; without a key it
	// is false. Errors are the ledger's.
	Look(ctx context.Context, productID string, key *IdempotencyKey) (p Product, unused bool, err error)
	// Put stores the state that came back from a ledger call, unless a later one is there already. granted, if
	// not nil, is the key of a hold that exists.
	Put(ctx context.Context, p Product, granted *IdempotencyKey)
	// Ping reports whether the cache answers.
	Ping(ctx context.Context) error
}
