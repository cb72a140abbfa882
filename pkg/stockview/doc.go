// Package stockview is the checkout.StockView on Valkey (or Redis): one entry a product, in front of the ledger, for
// reads and for refusing early. It is a cache and decides nothing: it may be stale, empty, wrong, slow or dead, and
// costs at most 50 ms then, or nothing once its breaker is open.
//
// The entry of a product is the state that came back from a ledger call, stored only if its version is newer than
// what is there (write.lua): reads do not go back in time, and a burst of writes causes no stampede, which deleting
// the entry at each write would. Entries live a little under two seconds. A miss is filled by one caller in a
// process (single flight) and one process (a short lock) with one ledger call, which takes back what is due first:
// a sold-out product costs the database one call an entry's life, whatever the traffic.
//
// Beside it stands the set of the idempotency keys that placed holds of the product. The database counts them in the
// product's row (keyed_holds), the entry carries the count, and the set gets members only from granted holds; so if
// it has as many members as the count says, it is complete, and a key that is not in it was never used. That proof
// lets the gate refuse a keyed request without the database. Without it, after a flush say, the database is asked,
// and one caller restores the set.
package stockview
