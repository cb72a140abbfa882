// Package admin has the operations of an operator, locally and on AWS: migrate the database, put products on sale, list
// them, audit, list the refunds that are due, and list payment events that match nothing. For a sale whose stock
// someone hoards there are brakes (brakes.go): end the sale, hide the product, release holds, cancel orders, block a shopper.
//
// [Operator] is the interface. [Local] works on a database that this process can reach. The database of a deployed stack is
// reachable only for the stack's admin function, which has no URL and is invoked with IAM permission. [Handler] is that
// function, and [Client] is an Operator that invokes it, so the flashsale command works the same way on both. [Logged] writes
// down who changed what.
package admin
