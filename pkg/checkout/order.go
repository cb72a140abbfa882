package checkout

import "time"

// OrderStatus says where an order stands.
type OrderStatus string

// The states of an order. Only refunded, and cancelled without a payment, are final.
const (
	OrderPendingPayment OrderStatus = "pending_payment" // its units are reserved until PayBy
	OrderPaid           OrderStatus = "paid"            // its units are sold
	OrderCancelled      OrderStatus = "cancelled"       // its units are back; money may still come
	OrderRefundDue      OrderStatus = "refund_due"      // money came that could not be used: an operator sends it back
	OrderRefunded       OrderStatus = "refunded"        // the provider has sent the money back
)

// Reason says why an order was cancelled or why its money has to go back.
type Reason string

// The reasons. The first three cancel an order, the last two make a refund due.
const (
	ReasonPaymentFailed  Reason = "payment_failed"  // the provider gave up on the payment
	ReasonPaymentTimeout Reason = "payment_timeout" // nobody paid before PayBy
	ReasonCustomer       Reason = "customer"        // the shopper cancelled
	ReasonLatePayment    Reason = "late_payment"    // paid after the units had gone to somebody else
	ReasonAmountMismatch Reason = "amount_mismatch" // paid, but not the amount or the currency of the order
)

// StockPlace says which counter of its product an order's units are in.
type StockPlace string

// The three places of a unit.
const (
	StockReserved  StockPlace = "reserved"
	StockSold      StockPlace = "sold"
	StockAvailable StockPlace = "none" // the order has no units
)

// Order is what a hold becomes.
type Order struct {
	ID        ID // the hold's
	ProductID string
	Qty       int64
	Amount    Money // price × qty, fixed when the hold was placed
	Status    OrderStatus
	Reason    Reason // empty unless cancelled, refund_due, or refunded after refund_due
	PayBy     time.Time
	CreatedAt time.Time
	UpdatedAt time.Time
}
