// Package admin is what an operator can do to a checkout, here and in the cloud: migrate it, put products on sale, list
// them, audit, and see the refunds that are due and the events that match nothing.
//
// [Operator] is that list. [Local] does it with a database that can be reached from here. A deployed stack's database
// cannot; the stack's admin function can, which has no URL and is called with IAM's permission. [Handler] is that
// function, and [Client] is an Operator that calls it, so that the flashsale command prints the same for both.
package admin
