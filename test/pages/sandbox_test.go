package pages

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"flashsale/internal/shoptest"
)

// One payment that is delivered twice counts once. A second payment is owed back.
func TestPayingTwiceSellsOnce(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{})
	p := open(t, s)
	p.press("Buy")
	p.press("Order now")
	const openSandbox = `//summary`
	p.run("opening the sandbox", chromedp.Click(openSandbox))
	p.press("Pay, delivered twice")
	p.sees("p", "First delivery: applied. Second delivery: duplicate, so nothing changed.")
	p.sees("h3", "Paid. It’s yours!")
	counters(t, s, 0, 1)
	p.run("opening the sandbox", chromedp.Click(openSandbox))
	p.press("Pay a second time")
	p.sees("p", "The webhook’s response: applied.")
	owed := shoptest.Must(s.Owed(context.Background(), 10))(t)
	if len(owed.Entries) != 1 {
		t.Errorf("got %+v, expected that the second payment is owed back", owed)
	}
	counters(t, s, 0, 1)
}

// The sandbox's other payments end the order as a provider's would.
func TestSandboxPlaysOtherPayments(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{})
	for _, c := range []struct{ press, first, then, last string }{
		{"Pay the wrong amount", "Wrong amount", "Refund the last payment", "Refunded"},
		{"Let the payment fail", "Payment failed", "Pay late", "Paid. It’s yours!"},
		{"Cancel order", "Cancelled", "Pay late", "Paid. It’s yours!"},
	} {
		p := open(t, s)
		p.press("Buy")
		p.press("Order now")
		p.run("opening the sandbox", chromedp.Click(`//summary`))
		p.press(c.press)
		p.sees("h3", c.first)
		p.run("opening the sandbox", chromedp.Click(`//summary`))
		p.press(c.then)
		p.sees("h3", c.last)
	}
	counters(t, s, 0, 2)
}

// A payment after the time limit takes the units if they are still there. Otherwise all of it is owed back.
func TestPaysAfterTheTimeLimit(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 2, shoptest.Options{PaymentWindow: time.Second})
	for _, c := range []struct {
		othersTake      int
		title, detail   string
		reserved, owing int
	}{
		{0, "Paid. It’s yours!", "We received $49.99. Thank you.", 0, 0},
		{1, "Paid too late", "Your payment came when no units were left. You get all of it back.", 1, 1},
	} {
		p := open(t, s)
		p.press("Buy")
		p.press("Order now")
		p.sees("h3", "Not paid in time")
		p.sees("p", "The order has ended, and its units went back on sale.")
		if c.othersTake > 0 { // once the cache shows the units again
			shoptest.Eventually(t, "others take the last unit", func() bool { return s.PostHold(t, c.othersTake, "").Status == http.StatusCreated })
		}
		p.run("opening the sandbox", chromedp.Click(`//summary`))
		p.press("Pay late")
		p.sees("h3", c.title)
		p.sees("p", c.detail)
		counters(t, s, int64(c.reserved), 1)
		if owed := shoptest.Must(s.Owed(t.Context(), 10))(t); len(owed.Entries) != c.owing {
			t.Errorf("%s: %+v is owed back, expected %d payments", c.title, owed, c.owing)
		}
	}
}
