// Package stockview is the checkout.StockView on Valkey (or Redis). It keeps one cache entry per product in front of
// the ledger, for reads and for early refusals. It decides nothing, so it may be stale, empty, wrong, slow or
// down. It then costs at most 50 ms per call, or nothing once its circuit breaker is open.
//
// # Entries
//
// A product's entry is the state that a ledger call returned. It is stored only if its version is newer than the
// cached one (write.lua), so reads never go back in time. A write replaces the entry instead of deleting it, so a
// burst of writes causes no burst of misses. An entry expires a little less than two seconds after the ledger was asked
// for its state, at a time on the cache's own clock (clock.go). A write that arrives later stores nothing. One ledger
// call, which reclaims due stock first, fills a miss: one caller per process makes it (singleflight), and one process at
// a time (a short lock). So a sold-out product costs the database one call per expired entry, whatever the traffic.
//
// # Catalogue
//
// One sorted set has all products (catalogue.go). It serves the list, and it tells that a product does not exist. If it
// is older than 1.5 s, one caller reads the whole list from the ledger. Once a second, one unknown product is looked up all
// the same, since it may be new. So neither the list nor products that do not exist cost the database more than two
// queries per second. This holds for up to 5,000 products.
//
// # Used keys
//
// Beside the entry stands the set of the idempotency keys that placed holds of the product. The database counts these
// holds in the product's row (keyed_holds), the entry carries the count, and only granted holds add to the set. If the
// set has exactly that many members it is complete, and a key outside of it was never used. That proof lets the gate
// refuse a request with a key without asking the database. Without the proof, for example after a flush, the database
// is asked, and one caller restores the set, in steps that begin with the latest holds (keys.go).
//
// # Batches
//
// Reads of one product that arrive during a read of its entry share the next one (batch.go). So do writes: the latest state
// is written, with the keys of all. A caller has its response after its key is in the cache, as if it had written alone.
package stockview
