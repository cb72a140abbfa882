// Package simulator plays a flash sale against a running checkout and checks the outcome.
//
// A simulation has shoppers. plan.go draws everything about a shopper from the seed and the shopper's number before the
// sale begins: arrival, quantity, intent, thinking times. The same seed gives the same shoppers, however the server
// behaves. Arrivals are an open loop: no shopper waits for another one's response. Delays that a slow server causes count
// as waiting, from the instant at which a step was due.
//
// A shopper looks, places a hold with an idempotency key, orders and pays. Some release the hold, cancel, are declined,
// pay late or pay a wrong amount. Some hang up, click twice, and retry with the same key after a timeout. Payment events
// arrive twice, out of order and before the order (visit.go, intents.go). Each shopper's history (history.go) has every
// request with the time it was sent, the time its response was complete, and the response.
//
// With sign-in the product has a limit per shopper, and some shoppers are greedy (greedy.go): they ask for many holds at once
// and try to use others' holds.
//
// At the end the simulation retries requests whose outcome is unknown and reads every hold and order back (settle.go).
// Then it compares the histories with the server's state, invariant by invariant (checks*.go). The checks use safe bounds
// only: a slow machine, a lost response or another sale on the same server never breaks one. A server that is dead by
// then cannot be checked; Run returns an error.
//
// The package speaks HTTP and signs payment events. Its needs towards an operator are the interface Operator.
package simulator
