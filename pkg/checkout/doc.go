// Package checkout is the domain of a flash sale: its words, its states and its rules.
//
// A shop puts a [Product] with a limited stock on sale. A shopper takes some of it with a [Hold], which lasts
// two minutes by the database's clock. A hold becomes at most one [Order], and the two share one identity: the
// order of hold_x is ord_x, so that a payment can name an order that does not exist yet. A [PaymentEvent] from a
// payment provider ends the order: paid, cancelled, or refund_due when money came that could not be used.
//
// At every moment each unit of a product is in exactly one of three places:
//
//	stock = available_stock + reserved_stock + sold_stock
//
// reserved by an active hold or an unpaid order, sold by a paid order, or available. available_stock is never
// negative, and a unit that a hold or an order gives up comes back exactly once.
//
// The package imports the standard library alone. [Service] is what the HTTP edge calls; it needs a [Ledger],
// which decides everything, and a [StockView], which is a cache and decides nothing. [Transitions] is the state
// machine of orders as data: the documentation and the tests are made from it.
package checkout
