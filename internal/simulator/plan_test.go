package simulator_test

import (
	"slices"
	"testing"
	"time"

	"flashsale/internal/simulator"
)

var sale = simulator.Sale{Seed: 7, Shoppers: 5000, Stock: 100, Spike: 5 * time.Second, Duration: 30 * time.Second}

func TestSameSeedGivesSameShoppers(t *testing.T) {
	first, second := simulator.Draw(sale), simulator.Draw(sale)
	if !slices.Equal(first, second) {
		t.Error("two draws differ")
	}
	if simulator.Digest(first) != simulator.Digest(second) {
		t.Error("two draws have different digests")
	}
	other := sale
	other.Seed++
	if simulator.Digest(simulator.Draw(other)) == simulator.Digest(first) {
		t.Error("another seed gives the same shoppers")
	}
	more := sale
	more.Shoppers *= 2
	if !slices.Equal(first, simulator.Draw(more)[:sale.Shoppers]) {
		t.Error("a larger sale has different first shoppers")
	}
}

// Every intent occurs, 80 % arrive in the spike, and most of those at its beginning.
func TestShoppersFollowTheWeights(t *testing.T) {
	shoppers := simulator.Draw(sale)
	intents, counts := map[simulator.Intent]int{}, map[string]int{}
	for _, s := range shoppers {
		intents[s.Intent]++
		for name, is := range map[string]bool{
			"arrive in the spike": s.Arrives <= sale.Spike, "arrive early": s.Arrives <= sale.Spike/2, "hang up": s.HangsUp > 0,
			"send twice": s.Twice, "try again": s.Attempts > 1, "have repeated deliveries": s.Deliveries > 1,
			"are greedy": s.Greedy,
		} {
			if is {
				counts[name]++
			}
		}
		if s.Qty < 1 || s.Qty > 4 || s.Arrives < 0 || s.Arrives > sale.Duration || (s.Intent == simulator.OnlyLooks && s.Looks == 0) {
			t.Errorf("a shopper is out of bounds: %+v", s)
		}
	}
	if len(intents) != 22 || intents[simulator.Pays] < 2000 {
		t.Errorf("%d intents, %d shoppers pay; expected 22 and about 2050", len(intents), intents[simulator.Pays])
	}
	if share := float64(counts["arrive in the spike"]) / float64(len(shoppers)); share < simulator.SpikeShare-0.03 || share > simulator.SpikeShare+0.03 {
		t.Errorf("a share of %.2f arrives in the spike, expected %.2f", share, simulator.SpikeShare)
	}
	if part := float64(counts["arrive early"]) / float64(counts["arrive in the spike"]); part < 0.70 || part > 0.80 { // 3/4 of a triangle
		t.Errorf("%.2f of the spike arrives in its first half, expected 0.75", part)
	}
	for name, n := range counts {
		if n < 60 {
			t.Errorf("only %d of %d %s", n, len(shoppers), name)
		}
	}
}
