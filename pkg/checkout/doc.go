// Package checkout is the domain of a flash sale: its terms, its states and its rules.
//
// A merchant puts a [Product] with limited stock on sale. A shopper reserves units of it with a [Hold], which lasts
// two minutes by the database's clock. A hold becomes at most one [Order]. Both share one identity: the order of
// hold_x is ord_x, so that a payment can name an order before it exists. A [PaymentEvent] from a payment provider
// settles the order: paid, cancelled, or refund_due when the money cannot be used.
//
// At every moment each unit of a product is in exactly one of three places:
//
//	stock = available_stock + reserved_stock + sold_stock
//
// An active hold or an unpaid order reserves units, and a paid order has sold them. The other units are available.
// available_stock is never negative. A unit that a hold or an order gives up returns exactly once.
//
// The package imports the standard library alone. The HTTP edge and the sweeper call [Service]. It needs a [Ledger],
// which decides everything, and a [StockView], which is a cache and decides nothing. [Transitions] is the state
// machine of orders as data: the documentation and the tests are generated from it.
package checkout
