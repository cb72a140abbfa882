// Package simulator plays a flash sale against a running checkout, and checks what came of it.
//
// A rush has shoppers. Everything about a shopper is drawn from the seed and its number before the sale begins (plan.go):
// when it arrives, how much it wants, what it has in mind, how long it thinks. So the same seed gives the same shoppers,
// whatever the server does. Arrivals are an open loop: nobody waits for another shopper's answer, and what a slow server
// delays is counted as waiting, from the instant at which a step was due.
//
// A shopper looks, places a hold with a key of its own, orders, pays; or it lets go, cancels, is declined, pays late or
// the wrong amount. It hangs up, presses twice, and sends a request again with the same key after a timeout; payments are
// delivered twice, out of order and before the order (visit.go, intents.go). Each shopper keeps books (books.go): every
// request, when it was sent and when its answer was there, by one clock, and what it said.
//
// At the end what remained unknown is asked again, every hold and order is read back (settle.go), and the books are held
// against the server's word, invariant by invariant (checks*.go). The checks use sure bounds only: a slow machine, a lost
// answer or somebody else's sale on the same server never breaks one. A server that is dead by then cannot be checked, which
// is an error of its own (giveup.go).
//
// The package speaks HTTP and signs payment events; what it needs of an operator it declares (Operator).
package simulator
