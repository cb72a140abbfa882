// Package ledger is the checkout.Ledger on MySQL 8+ (Aurora) and MariaDB 10.6+.
//
// Every change of state is one CALL of a stored routine: the method PlaceHold calls routines/place_hold.sql, and so on.
// The whole transaction (locks, decision, writes, COMMIT) runs next to the data. So no network round trip happens while
// the product's row is locked, and no lock outlives a call, even if the caller dies. Every routine locks in the same
// order: payment_events, holds, orders, products last.
//
// Holds of a hot product share calls (groups.go): those that arrive while a call for it is under way are placed by the next
// one, place_holds. place_hold keeps the promises; place_holds is a faster way to its usual outcomes. Payments do the same with
// apply_event and apply_payments.
//
// Go does the rest. It retries a call where that is harmless (call.go), classifies error numbers (errors.go), and scans
// the one row that every routine returns (result.go). It installs the schema, the routines and the database users
// (migrate.go). It recomputes every counter from the rows (audit.go).
package ledger
