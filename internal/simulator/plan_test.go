package simulator_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/simulator"
)

var sale = simulator.Sale{Seed: 7, Shoppers: 5000, Stock: 100, Spike: 5 * time.Second, Duration: 30 * time.Second}

func TestTheSameSeedGivesTheSameShoppers(t *testing.T) {
	first, second := simulator.Draw(sale), simulator.Draw(sale)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
	if simulator.Digest(first) != simulator.Digest(second) {
		t.Error("the digests differ")
	}
	other := sale
	other.Seed++
	if simulator.Digest(simulator.Draw(other)) == simulator.Digest(first) {
		t.Error("another seed gives the same shoppers")
	}
	// A shopper is drawn from the seed and its number alone: more of them change nobody.
	more := sale
	more.Shoppers *= 2
	if diff := cmp.Diff(first, simulator.Draw(more)[:sale.Shoppers]); diff != "" {
		t.Error(diff)
	}
}

// Every intent is somebody's, most come in the spike, and most of those at its beginning.
func TestShoppersAreAsPlanned(t *testing.T) {
	shoppers := simulator.Draw(sale)
	intents := map[simulator.Intent]int{}
	spike, early, hangUp, twice, again, often := 0, 0, 0, 0, 0, 0
	count := func(n *int, is bool) {
		if is {
			*n++
		}
	}
	for _, s := range shoppers {
		intents[s.Intent]++
		count(&spike, s.Arrives <= sale.Spike)
		count(&early, s.Arrives <= sale.Spike/2)
		count(&hangUp, s.HangsUp > 0)
		count(&twice, s.Twice)
		count(&again, s.Attempts > 1)
		count(&often, s.Deliveries > 1)
		if s.Qty < 1 || s.Qty > 4 || s.Arrives < 0 || s.Arrives > sale.Duration || (s.Intent == simulator.OnlyLooks && s.Looks == 0) {
			t.Errorf("%+v", s)
		}
	}
	if len(intents) != 18 || intents[simulator.Pays] < 2200 {
		t.Errorf("%v", intents)
	}
	if share := float64(spike) / float64(len(shoppers)); share < simulator.SpikeShare-0.03 || share > simulator.SpikeShare+0.03 {
		t.Errorf("%.2f come in the spike", share)
	}
	if part := float64(early) / float64(spike); part < 0.70 || part > 0.80 { // 3/4 of a triangle
		t.Errorf("%.2f of the spike come in its first half", part)
	}
	if slices.Min([]int{hangUp, twice, again, often}) < 100 {
		t.Errorf("%d hang up, %d press twice, %d come back, %d have payments delivered often", hangUp, twice, again, often)
	}
}
