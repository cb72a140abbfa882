package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// Sale is the size and the timing of a simulated sale.
type Sale struct {
	Seed     uint64        `json:"seed"`
	Shoppers int           `json:"shoppers"`
	Stock    int64         `json:"stock"`
	Spike    time.Duration `json:"-"` // the opening rush, in which SpikeShare of the shoppers arrive
	Duration time.Duration `json:"-"` // until the last shopper arrives
}

// SpikeShare is the share of the shoppers that arrive in the spike, most of them at its beginning.
const SpikeShare = 0.8

// The limits of a sale, so that it fits into one machine's memory.
const (
	MaxShoppers = 1_000_000
	MaxStock    = 1_000_000
	MaxDuration = time.Hour
)

// greedyPermille is how many of 1000 shoppers are greedy.
const greedyPermille = 20

// fullPace is the shortest sale in which shoppers take their normal time; in a shorter one they think faster.
const fullPace = 15 * time.Second

// Intent is a shopper's purpose once it has a hold.
type Intent string

// The intents.
const (
	OnlyLooks        Intent = "only_looks"          // never asks for a hold
	Pays             Intent = "pays"                // orders and pays
	PaysFirst        Intent = "pays_first"          // the payment arrives before the order
	Waits            Intent = "waits"               // orders and pays late, but within the time limits
	Releases         Intent = "releases"            // releases the hold, twice
	LetsHoldLapse    Intent = "lets_hold_lapse"     // orders after the hold has expired
	PaysLapsedHold   Intent = "pays_lapsed_hold"    // pays after the hold has expired
	LetsOrderLapse   Intent = "lets_order_lapse"    // orders and never pays
	PaysLapsedOrder  Intent = "pays_lapsed_order"   // pays after the order has timed out
	Declined         Intent = "declined"            // the payment fails
	DeclinedThenPays Intent = "declined_then_pays"  // the payment fails, then another one succeeds
	ReleasesOrdered  Intent = "releases_ordered"    // orders, tries to release the hold, pays
	Cancels          Intent = "cancels"             // cancels the order, twice
	CancelsPaid      Intent = "cancels_paid"        // pays, then tries to cancel
	CancelsAndPays   Intent = "cancels_and_pays"    // cancels while the payment is in flight
	WrongAmount      Intent = "pays_a_wrong_amount" // one minor unit too little
	Refunded         Intent = "is_refunded"         // pays and gets a refund
	OutOfOrder       Intent = "out_of_order"        // a refund event arrives before the payment, a failure event after it
	PaysTwice        Intent = "pays_twice"          // two payments, both of the right amount
	PartlyRefunded   Intent = "is_partly_refunded"  // pays and gets a part of it back
	RefundFails      Intent = "refund_fails"        // pays and is refunded, but the refund fails
	Disputes         Intent = "disputes"            // pays, and its bank takes the money back
)

// intents is how many of 1000 shoppers have each intent.
var intents = []struct {
	intent Intent
	weight int
}{
	{OnlyLooks, 60}, {Pays, 410}, {PaysFirst, 60}, {Waits, 50}, {Releases, 60},
	{LetsHoldLapse, 60}, {PaysLapsedHold, 20}, {LetsOrderLapse, 40}, {PaysLapsedOrder, 20}, {Declined, 40},
	{DeclinedThenPays, 20}, {ReleasesOrdered, 15}, {Cancels, 30}, {CancelsPaid, 15}, {CancelsAndPays, 15},
	{WrongAmount, 15}, {Refunded, 15}, {OutOfOrder, 15},
	{PaysTwice, 10}, {PartlyRefunded, 10}, {RefundFails, 10}, {Disputes, 10},
}

// Shopper is one shopper's plan.
type Shopper struct {
	Number     int
	Arrives    time.Duration // after the sale has opened
	Intent     Intent
	Qty        int64
	Looks      int              // at the product before the first attempt
	Attempts   int              // to get a hold while the product is sold out, each with a new key
	ComesBack  time.Duration    // time until the next attempt
	Thinks     [8]time.Duration // between its steps
	HangsUp    time.Duration    // timeout of its first request for a hold, before it retries; 0: the default
	Twice      bool             // sends its request for a hold twice at once
	Deliveries int              // of each of its payment events
	AtOnce     bool             // the deliveries overlap; otherwise they have pauses between them
	ByHold     bool             // its events name the hold, not the order
	Fraction   float64          // of a time limit, after which it acts when it waits
	Token      uint64           // makes its keys and event ids unique
	Greedy     bool             // in a sale with sign-in it wants more than its share, whatever its intent: see greedy.go
}

// Draw draws all shoppers of a sale.
func Draw(s Sale) []Shopper {
	shoppers := make([]Shopper, s.Shoppers)
	for i := range shoppers {
		shoppers[i] = draw(s, i)
	}
	return shoppers
}

func draw(s Sale, number int) Shopper {
	r := rand.New(rand.NewPCG(s.Seed, uint64(number))) //nolint:gosec // G404: shoppers must be repeatable, not secret
	between := func(low, high time.Duration) time.Duration { return low + time.Duration(r.Int64N(int64(high-low)+1)) }
	pace := min(1, s.Duration.Seconds()/fullPace.Seconds())
	paced := func(low, high time.Duration) time.Duration { return time.Duration(float64(between(low, high)) * pace) }
	p := Shopper{
		Number: number, Arrives: arrival(s, r.Float64(), r.Float64()), Intent: intentAt(r.IntN(1000)),
		Qty: 1, Looks: r.IntN(3), Attempts: 1, ComesBack: paced(time.Second, 5*time.Second),
		Deliveries: 1, AtOnce: r.IntN(2) == 0, ByHold: r.IntN(4) == 0, Fraction: 0.5 + 0.4*r.Float64(), Token: r.Uint64(),
	}
	if r.IntN(4) == 0 {
		p.Qty = 2 + r.Int64N(maxQty-1)
	}
	if p.Intent == OnlyLooks {
		p.Looks++
	}
	if r.IntN(5) == 0 {
		p.Attempts = 2 + r.IntN(2)
	}
	if r.IntN(3) == 0 {
		p.Deliveries = 2 + r.IntN(2)
	}
	for i := range p.Thinks {
		p.Thinks[i] = paced(100*time.Millisecond, 1500*time.Millisecond)
	}
	if r.IntN(20) == 0 {
		p.HangsUp = between(500*time.Microsecond, 8*time.Millisecond)
	}
	p.Twice = r.IntN(25) == 0
	p.Greedy = r.IntN(1000) < greedyPermille
	return p
}

// arrival turns two numbers in [0, 1) into an instant. Arrivals in the spike become fewer linearly until its end; the
// others spread evenly over the rest.
func arrival(s Sale, part, when float64) time.Duration {
	if part < SpikeShare || s.Duration <= s.Spike {
		return time.Duration((1 - math.Sqrt(1-when)) * float64(s.Spike))
	}
	return s.Spike + time.Duration(when*float64(s.Duration-s.Spike))
}

func intentAt(n int) Intent {
	for _, i := range intents {
		if n -= i.weight; n < 0 {
			return i.intent
		}
	}
	return Pays // not reached: the weights add up to 1000
}

// Digest identifies a plan: two simulations with the same digest had the same shoppers.
func Digest(shoppers []Shopper) string {
	h := sha256.New()
	for i := range shoppers {
		_, _ = fmt.Fprintf(h, "%+v\n", shoppers[i]) // a hash accepts every write
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// name is the shopper's name at the sign-in service, another one in each sale.
func (s *Shopper) name(product string) string { return fmt.Sprintf("%s-%d", product, s.Number) }

// key is the Idempotency-Key of an attempt: a UUID, as a shop page would send. It is not random but follows from the seed,
// so that a sale can be repeated, and from the product, because the server never forgets a key.
func (s *Shopper) key(product string, attempt int) string {
	return uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%s:%d:%d:%016x", product, s.Number, attempt, s.Token)).String()
}

// eventID is the id of one of the shopper's payment events.
func (s *Shopper) eventID(product string, event int) string {
	return fmt.Sprintf("evt_%s_%d_%d_%016x", product, s.Number, event, s.Token)
}
