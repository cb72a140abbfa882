// Package ledger is the checkout.Ledger on MySQL 8+ (Aurora) and MariaDB 10.6+.
//
// Every change of state is one CALL of a stored routine: routines/place_hold.sql is the method PlaceHold, and so on.
// The whole transaction, its locks, decision, writes and COMMIT, runs next to the data, so that no network round
// trip happens while the product's hot row is locked, and no lock outlives a call, whatever becomes of the caller.
// The locks are always taken in one order: payment_events, holds, orders, products last.
//
// What is left for Go is to make the call once more when that is harmless (call.go), to tell the server's error
// numbers apart (errors.go), to turn the one row that every routine answers with into the domain's words
// (answer.go), to install the schema, the routines and the two database users (migrate.go), and to recompute
// everything from the rows (audit.go).
package ledger
