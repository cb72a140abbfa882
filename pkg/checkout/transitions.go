package checkout

// Trigger is an action that can change the state of an order.
type Trigger string

// The triggers, as docs/states.md shows them.
const (
	OnOrder      Trigger = "POST /orders"
	OnCancel     Trigger = "customer cancels"
	OnPayBy      Trigger = "pay_by passed"
	OnSucceeded  Trigger = "payment succeeded"
	OnMismatched Trigger = "payment succeeded, amount or currency wrong"
	OnFailed     Trigger = "payment failed"
	OnRefunded   Trigger = "payment refunded"
)

// Triggers lists every trigger, for documentation and exhaustive tests.
var Triggers = []Trigger{OnOrder, OnCancel, OnPayBy, OnSucceeded, OnMismatched, OnFailed, OnRefunded}

// State is the joint state of a hold and its order: the order's status, or the hold's while there is no order.
type State string

// The states of a hold without an order. The other states are an OrderStatus.
const (
	NoOrderActive   State = "active hold"
	NoOrderExpired  State = "expired hold"
	NoOrderReleased State = "released hold"
)

// States lists every state, for documentation and exhaustive tests.
var States = []State{
	NoOrderActive, NoOrderExpired, NoOrderReleased,
	State(OrderPendingPayment), State(OrderPaid), State(OrderCancelled), State(OrderRefundDue), State(OrderRefunded),
}

// Transition is one row of the order's state machine. Where no row matches, nothing changes: a request is refused,
// an event is recorded as ignored.
type Transition struct {
	From   State
	On     Trigger
	To     OrderStatus
	Reason Reason // set where the new state has a reason
	// Stock is where the order's units are afterwards. Before, From decides: reserved for an active hold and for
	// pending_payment, sold for paid, else available.
	Stock StockPlace
	// IfSoldOut marks the rows that take units again. Without enough available stock the order becomes refund_due
	// (late_payment) instead and has no units.
	IfSoldOut bool
}

// Transitions is the state machine of orders. The ledger's routines implement it, and TestTransitions compares them
// with it for every state and every trigger.
var Transitions = []Transition{
	{From: NoOrderActive, On: OnOrder, To: OrderPendingPayment, Stock: StockReserved},
	{From: NoOrderActive, On: OnSucceeded, To: OrderPaid, Stock: StockSold},
	{From: NoOrderActive, On: OnMismatched, To: OrderRefundDue, Reason: ReasonAmountMismatch, Stock: StockAvailable},

	{From: NoOrderExpired, On: OnSucceeded, To: OrderPaid, Stock: StockSold, IfSoldOut: true},
	{From: NoOrderExpired, On: OnMismatched, To: OrderRefundDue, Reason: ReasonAmountMismatch, Stock: StockAvailable},
	{From: NoOrderReleased, On: OnSucceeded, To: OrderPaid, Stock: StockSold, IfSoldOut: true},
	{From: NoOrderReleased, On: OnMismatched, To: OrderRefundDue, Reason: ReasonAmountMismatch, Stock: StockAvailable},

	{From: State(OrderPendingPayment), On: OnSucceeded, To: OrderPaid, Stock: StockSold},
	{From: State(OrderPendingPayment), On: OnMismatched, To: OrderRefundDue, Reason: ReasonAmountMismatch, Stock: StockAvailable},
	{From: State(OrderPendingPayment), On: OnFailed, To: OrderCancelled, Reason: ReasonPaymentFailed, Stock: StockAvailable},
	{From: State(OrderPendingPayment), On: OnPayBy, To: OrderCancelled, Reason: ReasonPaymentTimeout, Stock: StockAvailable},
	{From: State(OrderPendingPayment), On: OnCancel, To: OrderCancelled, Reason: ReasonCustomer, Stock: StockAvailable},

	{From: State(OrderCancelled), On: OnSucceeded, To: OrderPaid, Stock: StockSold, IfSoldOut: true},
	{From: State(OrderCancelled), On: OnMismatched, To: OrderRefundDue, Reason: ReasonAmountMismatch, Stock: StockAvailable},

	{From: State(OrderPaid), On: OnRefunded, To: OrderRefunded, Stock: StockSold}, // units stay sold: the merchant decides whether to restock
	{From: State(OrderRefundDue), On: OnRefunded, To: OrderRefunded, Stock: StockAvailable},
}

// Find returns the row for a state and a trigger. It returns false when nothing changes.
func Find(from State, on Trigger) (Transition, bool) {
	for _, t := range Transitions {
		if t.From == from && t.On == on {
			return t, true
		}
	}
	return Transition{}, false
}
