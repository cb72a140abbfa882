package checkout

// Trigger is an action besides money that can change the state of an order.
type Trigger string

// The triggers, as docs/states.md shows them.
const (
	OnOrder  Trigger = "POST /orders"
	OnCancel Trigger = "customer cancels"
	OnPayBy  Trigger = "pay_by passed"
	OnFailed Trigger = "payment failed for good"
)

// Triggers lists every trigger, for documentation and exhaustive tests.
var Triggers = []Trigger{OnOrder, OnCancel, OnPayBy, OnFailed}

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

// Transition is one row of the part of the order's state machine that is not money. Money is the other part: Settle
// decides where the units are, and StandingOf the status. Where no row matches, nothing changes: a request is refused,
// an event is recorded as ignored.
type Transition struct {
	From   State
	On     Trigger
	Free   bool // the row is for orders of amount 0 only, and comes before the row without Free
	To     OrderStatus
	Reason Reason     // set where the new state has a reason
	Stock  StockPlace // where the order's units are afterwards; before, they are reserved
}

// Transitions lists what moves an order besides money. All of its rows start where nothing was received yet. The ledger's
// routines implement it, and TestTransitions compares them with it for every state and every trigger.
var Transitions = []Transition{
	{From: NoOrderActive, On: OnOrder, Free: true, To: OrderPaid, Stock: StockSold},
	{From: NoOrderActive, On: OnOrder, To: OrderPendingPayment, Stock: StockReserved},
	{From: State(OrderPendingPayment), On: OnCancel, To: OrderCancelled, Reason: ReasonCustomer, Stock: StockAvailable},
	{From: State(OrderPendingPayment), On: OnPayBy, To: OrderCancelled, Reason: ReasonPaymentTimeout, Stock: StockAvailable},
	{From: State(OrderPendingPayment), On: OnFailed, To: OrderCancelled, Reason: ReasonPaymentFailed, Stock: StockAvailable},
}

// Find returns the row for a state and a trigger; free says whether the order's amount is 0. It returns false when
// nothing changes.
func Find(from State, on Trigger, free bool) (Transition, bool) {
	for _, t := range Transitions {
		if t.From == from && t.On == on && (free || !t.Free) {
			return t, true
		}
	}
	return Transition{}, false
}
