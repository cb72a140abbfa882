package main

import (
	"testing"

	"pgregory.net/rapid"

	"flashsale/pkg/checkout"
)

// No id lies between an id and the one before it, so the list after that one begins with the product.
func TestNoIDLiesBetween(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[-09az]{1,4}|[-09az]{62,64}`).Draw(t, "id")
		other := rapid.OneOf(rapid.StringMatching(`[-09az]{1,4}`), rapid.StringMatching(`[-09az]{62,64}`), rapid.Just(id+"-"), rapid.Just(id[:len(id)-1]+"zz")).Draw(t, "other")
		before := idBefore(id)
		if before >= id || (before != "" && !checkout.ValidProductID(before)) {
			t.Fatalf("before %q comes %q, expected a valid id that is less", id, before)
		}
		if checkout.ValidProductID(other) && before < other && other < id {
			t.Fatalf("%q lies between %q and %q", other, before, id)
		}
	})
}
