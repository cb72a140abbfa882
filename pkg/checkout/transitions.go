package checkout

// Trigger is an action without money that can change the state of an order.
type Trigger string

// The triggers, as docs/states.md shows them.
const (
	OnOrder  Trigger = "POST /orders"
	OnCancel Trigger = "customer cancels"
	OnPayBy  Trigger = "pay_by passed"
	OnFailed Trigger = "payment failed"
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

// Transition is one thing that happens to an order besides money. Where no row matches, nothing changes: a request is
// refused, an event is recorded as ignored. An order that got money follows Settle and StandingOf alone.
type Transition struct {
	From  State
	On    Trigger
	To    Standing
	Units StockPlace // where the order's units are afterwards
}

// Transitions is what moves an order besides money. The ledger's routines implement it, and TestTransitions compares
// them with it for every state and every trigger. A free order is paid by POST /orders: StandingOf says so.
var Transitions = []Transition{
	{NoOrderActive, OnOrder, Standing{Status: OrderPendingPayment}, StockReserved},
	{State(OrderPendingPayment), OnCancel, Standing{OrderCancelled, ReasonCustomer}, StockAvailable},
	{State(OrderPendingPayment), OnPayBy, Standing{OrderCancelled, ReasonPaymentTimeout}, StockAvailable},
	{State(OrderPendingPayment), OnFailed, Standing{OrderCancelled, ReasonPaymentFailed}, StockAvailable},
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
