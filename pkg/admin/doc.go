// Package admin lets an operator manage a checkout, on this machine or on AWS: migrate it, create and list products, audit
// it, and list refunds due and unmatched events.
//
// [Operator] is the interface. [Local] implements it on a database that this machine can reach. Only the admin function
// can reach the database of a deployed stack; it has no URL, and IAM controls access. [Handler] is that function, and
// [Client] is an Operator that calls it. So the flashsale command works the same with both.
package admin
