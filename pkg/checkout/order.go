package checkout

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// OrderStatus is the state of an order.
type OrderStatus string

// The states of an order. refunded is final. A cancelled order can still be paid.
const (
	OrderPendingPayment OrderStatus = "pending_payment" // its units are reserved until PayBy
	OrderPaid           OrderStatus = "paid"            // its units are sold
	OrderCancelled      OrderStatus = "cancelled"       // its units are available again; a payment may still arrive
	OrderRefundDue      OrderStatus = "refund_due"      // money arrived that cannot be used: an operator sends it back
	OrderRefunded       OrderStatus = "refunded"        // the provider has sent the money back
)

// Reason says why an order was cancelled or needs a refund.
type Reason string

// The first three reasons cancel an order, the last two make a refund due.
const (
	ReasonPaymentFailed  Reason = "payment_failed"  // the provider reported the final failure of the payment
	ReasonPaymentTimeout Reason = "payment_timeout" // no payment arrived before PayBy
	ReasonCustomer       Reason = "customer"        // the shopper cancelled
	ReasonLatePayment    Reason = "late_payment"    // paid after the units were given to another shopper
	ReasonAmountMismatch Reason = "amount_mismatch" // paid with another amount or currency than the order's
)

// StockPlace says which stock counter of its product an order's units are in.
type StockPlace string

// The three places of a unit.
const (
	StockReserved  StockPlace = "reserved"
	StockSold      StockPlace = "sold"
	StockAvailable StockPlace = "none" // the order has no units
)

// MaxReference is the most characters of an order's reference.
const MaxReference = 128

// ReferenceRule says what a reference is, for messages.
var ReferenceRule = fmt.Sprintf("expected at most %d printable characters without space around them", MaxReference)

// ValidReference reports whether s can be the merchant's reference of an order: at most 128 printable characters, without
// space around them, which a database's comparison would not see. Empty: none.
func ValidReference(s string) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= MaxReference && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Order is what a hold becomes when the shopper checks out.
type Order struct {
	ID        ID // the hold's
	ProductID string
	Qty       int64
	Amount    Money // price × qty, fixed when the hold was placed
	Status    OrderStatus
	Reason    Reason // empty unless cancelled, refund_due, or refunded after refund_due
	Reference string // the merchant's own; empty: none
	PayBy     time.Time
	CreatedAt time.Time
	UpdatedAt time.Time
}
