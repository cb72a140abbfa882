package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Sale is what is played: who comes, and for how much.
type Sale struct {
	Seed     uint64        `json:"seed"`
	Shoppers int           `json:"shoppers"`
	Stock    int64         `json:"stock"`
	Spike    time.Duration `json:"-"` // the opening, in which SpikeShare of the shoppers come
	Duration time.Duration `json:"-"` // until the last shopper comes
}

// SpikeShare is the part of all shoppers that comes in the spike, most of them at its beginning.
const SpikeShare = 0.8

// Limits of a sale: what fits into the memory and the patience of one machine.
const (
	MaxShoppers = 1_000_000
	MaxStock    = 1_000_000
	MaxDuration = time.Hour
)

// unhurried is the shortest sale in which shoppers take their time; in a shorter one they think faster.
const unhurried = 15 * time.Second

// Intent is what a shopper does once it has a hold.
type Intent string

// The intents.
const (
	OnlyLooks        Intent = "only_looks"          // never asks for a hold
	Pays             Intent = "pays"                // orders and pays
	PaysFirst        Intent = "pays_first"          // the payment comes before the order
	Waits            Intent = "waits"               // orders and pays shortly before it is too late
	Releases         Intent = "releases"            // gives the hold up, twice
	LetsHoldLapse    Intent = "lets_hold_lapse"     // does nothing, and orders when it is too late
	PaysLapsedHold   Intent = "pays_lapsed_hold"    // its payment comes after the hold has expired
	LetsOrderLapse   Intent = "lets_order_lapse"    // orders and never pays
	PaysLapsedOrder  Intent = "pays_lapsed_order"   // its payment comes after the order was cancelled
	Declined         Intent = "declined"            // the payment fails
	DeclinedThenPays Intent = "declined_then_pays"  // the payment fails, then another one succeeds
	ReleasesOrdered  Intent = "releases_ordered"    // orders, tries to give the hold up, pays
	Cancels          Intent = "cancels"             // cancels the order, twice
	CancelsPaid      Intent = "cancels_paid"        // pays, and tries to cancel
	CancelsAndPays   Intent = "cancels_and_pays"    // cancels while the payment is under way
	WrongAmount      Intent = "pays_a_wrong_amount" // a unit of the currency too little
	Refunded         Intent = "is_refunded"         // pays and gets the money back
	OutOfOrder       Intent = "out_of_order"        // the refund's event comes before the payment's, a failure's after it
)

// intents says how many of 1000 shoppers have which intent.
var intents = []struct {
	intent Intent
	weight int
}{
	{OnlyLooks, 60},
	{Pays, 450},
	{PaysFirst, 60},
	{Waits, 50},
	{Releases, 60},
	{LetsHoldLapse, 60},
	{PaysLapsedHold, 20},
	{LetsOrderLapse, 40},
	{PaysLapsedOrder, 20},
	{Declined, 40},
	{DeclinedThenPays, 20},
	{ReleasesOrdered, 15},
	{Cancels, 30},
	{CancelsPaid, 15},
	{CancelsAndPays, 15},
	{WrongAmount, 15},
	{Refunded, 15},
	{OutOfOrder, 15},
}

// Shopper is one shopper's plan.
type Shopper struct {
	Number     int
	Arrives    time.Duration // after the sale has opened
	Intent     Intent
	Qty        int64
	Looks      int              // at the product, before it asks for a hold
	Attempts   int              // how often it asks for a hold in all, with a new key each time, while it is sold out
	ComesBack  time.Duration    // after a refusal
	Thinks     [8]time.Duration // between its steps
	HangsUp    time.Duration    // on its first request for a hold, and sends it again; 0: it does not
	Twice      bool             // presses the button twice at once
	Deliveries int              // of each of its payment events
	AtOnce     bool             // the deliveries come together, else with a pause
	ByHold     bool             // its events name the hold, not the order
	Fraction   float64          // how much of a time limit it lets pass when it waits
	Token      uint64           // makes its keys and event ids hard to guess
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
	r := rand.New(rand.NewPCG(s.Seed, uint64(number))) //nolint:gosec // G404: shoppers are to be repeatable, not secret
	between := func(low, high time.Duration) time.Duration { return low + time.Duration(r.Int64N(int64(high-low)+1)) }
	pace := min(1, s.Duration.Seconds()/unhurried.Seconds())
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
	return p
}

// arrival turns two numbers of [0, 1) into an instant: in the spike the crowd thins out evenly from the first moment
// to its end, then they come evenly until the end.
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
	return Pays // the weights sum up to 1000: a test sees to it
}

// Digest names a plan: two runs with the same digest had the same shoppers.
func Digest(shoppers []Shopper) string {
	h := sha256.New()
	for i := range shoppers {
		_, _ = fmt.Fprintf(h, "%+v\n", shoppers[i]) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// key is the shopper's Idempotency-Key of an attempt. The server remembers keys for ever, so it has the product in it.
func (s *Shopper) key(product string, attempt int) string {
	return fmt.Sprintf("%s:%d:%d:%016x", product, s.Number, attempt, s.Token)
}

// eventID is the id of one of the shopper's payment events.
func (s *Shopper) eventID(product string, event int) string {
	return fmt.Sprintf("evt_%s_%d_%d_%016x", product, s.Number, event, s.Token)
}
