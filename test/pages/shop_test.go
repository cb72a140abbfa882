package pages

import (
	"context"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

// counters waits until the ledger has these units reserved and sold.
func counters(t *testing.T, s *shoptest.Shop, reserved, sold int64) {
	t.Helper()
	shoptest.Eventually(t, "the ledger has the units", func() bool {
		p := s.Stock(t)
		return p.ReservedStock == reserved && p.SoldStock == sold
	})
}

func TestBuysAndPays(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{})
	p := open(t, s)
	p.sees("p", "5 of 5 left")
	p.press("+")
	p.press("Buy")
	p.sees("h3", "Reserved for you")
	if left := eval[string](p, `document.querySelector('.left').textContent`); !regexp.MustCompile(`^(2:00|1:\d\d)$`).MatchString(left) {
		t.Errorf("the reservation lasts %s, expected at most 2:00", left)
	}
	p.sees("p", "3 of 5 left")
	counters(t, s, 2, 0)
	p.press("Order now")
	p.sees("h3", "Waiting for your payment")
	p.run("reloading the page", chromedp.Reload())
	p.press("Pay $99.98")
	p.sees("h3", "Paid. It’s yours!")
	counters(t, s, 0, 2)
	p.press("Remove from this list")
	p.sees("p", "Your reservations appear here, with the time that is left.")
}

func TestHoldExpiresInFrontOfTheShopper(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 1, shoptest.Options{HoldTTL: 3 * time.Second})
	p := open(t, s)
	// On a busy machine the hold may end before the test looks, so the page writes down what it shows.
	eval[bool](p, `globalThis.shown = [], new MutationObserver(() => shown.push(document.body.innerText))
		.observe(document.body, {childList: true, subtree: true, characterData: true}), true`)
	p.press("Buy")
	p.sees("h3", "Time ran out")
	if !eval[bool](p, `shown.some(text => text.includes('Reserved for you'))`) {
		t.Error("the page never showed the reservation")
	}
	p.sees("p", "1 of 1 left")
	counters(t, s, 0, 0)
}

// After a lost response the shopper presses again, and the same key brings the hold that was placed.
func TestLostResponseReservesOnce(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{})
	p := open(t, s)
	eval[bool](p, `(() => {
		const send = globalThis.fetch
		globalThis.fetch = async request => {
			const response = await send(request)
			if (!request.url?.endsWith('/v1/holds')) return response
			globalThis.fetch = send
			throw new TypeError('the response is lost')
		}
		return true
	})()`)
	p.press("Buy")
	p.sees("p", "The shop cannot be reached. Check your connection and try again. Nothing is bought twice.")
	counters(t, s, 1, 0)
	p.press("Buy")
	p.sees("h3", "Reserved for you")
	counters(t, s, 1, 0)
}

// While others have everything reserved, the page says that some may return, and lets the shopper try.
func TestAllReservedMayReturn(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 1, shoptest.Options{})
	hold := s.PostHold(t, 1, "")
	p := open(t, s)
	p.refusals = true
	p.sees("p", "All reserved. Some may return.")
	p.press("Try anyway")
	p.sees("p", "All of Test product is reserved at the moment. Some may return, so try again soon.")
	s.Do(t, http.MethodDelete, "/v1/holds/"+hold.Text("id"), "", nil)
	p.press("Buy")
	p.sees("h3", "Reserved for you")
	p.press("Give it back")
	p.sees("h3", "Given back")
	counters(t, s, 0, 0)
}

// A sale starts in front of the shopper, by the server's clock, and its end counts down.
func TestSaleStartsInFrontOfTheShopper(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 1, shoptest.Options{})
	start, end := time.Now().Add(3*time.Second), time.Now().Add(time.Hour)
	_, _, err := s.PutProduct(context.Background(), checkout.ProductChange{
		ID: s.ProductID, SaleStartsAt: &checkout.Moment{At: &start}, SaleEndsAt: &checkout.Moment{At: &end},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, s)
	p.press("Buy") // waits for the start; a press that comes early would be refused
	p.sees("h3", "Reserved for you")
	if badge := eval[string](p, `document.querySelector('.badge').textContent`); !regexp.MustCompile(`^Ends in \d\d:\d\d$`).MatchString(badge) {
		t.Errorf("the badge is %q, expected the time until the end", badge)
	}
}

// A shopper without a mouse buys, and the focus is where the next step is.
func TestKeyboardIsEnough(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{})
	p := open(t, s)
	p.sees("button", "Buy")
	p.tab("Buy")
	p.run("pressing Enter", chromedp.KeyEvent(kb.Enter))
	p.sees("h3", "Reserved for you")
	shoptest.Eventually(t, "the focus is on the reservation", func() bool { return p.focused() == "Reserved for you" })
	p.tab("Order now")
	p.run("pressing Enter", chromedp.KeyEvent(kb.Enter))
	p.sees("h3", "Waiting for your payment")
	shoptest.Eventually(t, "the focus is on the order", func() bool { return p.focused() == "Waiting for your payment" })
	shoptest.Eventually(t, "a screen reader hears the order's state", func() bool {
		return eval[string](p, `document.getElementById('live').textContent`) == "Waiting for your payment. Your units are kept until the time runs out."
	})
}

// The page updates the stock each second, but leaves the quantity alone while the shopper types.
func TestUpdateLeavesTypedQuantityAlone(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{})
	p := open(t, s)
	p.sees("p", "5 of 5 left")
	field := "#qty-" + s.ProductID
	p.run("clearing the quantity", chromedp.Focus(field), chromedp.KeyEvent(kb.End), chromedp.KeyEvent(kb.Backspace))
	stock := int64(6)
	_, _, err := s.PutProduct(context.Background(), checkout.ProductChange{ID: s.ProductID, Stock: &stock})
	if err != nil {
		t.Fatal(err)
	}
	p.sees("p", "6 of 6 left")
	p.run("typing 3", chromedp.KeyEvent("3"))
	p.press("Buy")
	p.sees("p", "Test product · 3 units")
	p.run("clearing the quantity", chromedp.Focus(field), chromedp.KeyEvent(kb.End), chromedp.KeyEvent(kb.Backspace))
	eval[bool](p, `document.querySelector('.card .primary').click(), true`) // as on a touch screen, the focus stays in the field
	p.sees("p", "Test product · 1 unit")
	counters(t, s, 4, 0)
}

// A product with a limit per shopper asks for a name, and goes on by itself.
func TestSignsInToBuy(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{})
	limit := int64(1)
	_, _, err := s.PutProduct(context.Background(), checkout.ProductChange{ID: s.ProductID, MaxPerShopper: &checkout.Limit{Units: &limit}})
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, s)
	p.refusals = true
	p.press("Buy")
	p.run("giving a name", chromedp.SendKeys("#sign-in-field", "ada"+kb.Enter))
	p.sees("h3", "Reserved for you")
	p.press("Buy")
	p.sees("p", "You can have at most 1 of Test product, and you have 1.")
	list := s.As(t, "ada").Do(t, http.MethodGet, "/v1/holds", "", nil)
	if holds := shoptest.Must(s.Products(context.Background(), "", 1))(t); list.Status != http.StatusOK || holds[0].ReservedStock != 1 {
		t.Errorf("got %+v and %+v, expected a hold of ada", list, holds)
	}
}

// Once the shop can be reached again, no card says that it cannot.
func TestCardsForgetALostConnection(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{})
	p := open(t, s)
	p.press("Buy")
	p.sees("h3", "Reserved for you")
	eval[bool](p, `(() => {
		const send = globalThis.fetch
		globalThis.down = true
		globalThis.fetch = (...request) => globalThis.down ? Promise.reject(new TypeError('no connection')) : send(...request)
		return true
	})()`)
	const notices = `[...document.querySelectorAll('#offline, .card .notice, .purchase .notice')].filter(n => n.textContent.startsWith('The shop cannot be reached.')).length`
	shoptest.Eventually(t, "the page and both cards say that the shop cannot be reached", func() bool {
		p.press("Buy") // again and again: the response to an earlier poll may still come and take a notice away
		p.press("Order now")
		return eval[int](p, notices) == 3
	})
	eval[bool](p, `globalThis.down = false, true`)
	shoptest.Eventually(t, "nothing says so any more", func() bool { return eval[int](p, notices) == 0 })
	p.press("Order now")
	p.sees("h3", "Waiting for your payment")
}

// A real shop without accounts offers no sign-in, and says why a product with a limit cannot be reserved.
func TestRealShopWithoutAccounts(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{Real: true})
	limit := int64(1)
	if _, _, err := s.PutProduct(t.Context(), checkout.ProductChange{ID: s.ProductID, MaxPerShopper: &checkout.Limit{Units: &limit}}); err != nil {
		t.Fatal(err)
	}
	p := open(t, s)
	p.refusals = true
	p.press("Buy")
	p.sees("p", "Test product needs sign-in, which this shop does not offer.")
	if shown := eval[string](p, `document.getElementById('shopper').textContent + (document.getElementById('sign-in').open ? 'dialog' : '') + (document.getElementById('sandbox-note').hidden ? '' : 'sandbox')`); shown != "" {
		t.Errorf("the page shows %q, expected neither a sign-in nor a sandbox", shown)
	}
	counters(t, s, 0, 0)
}
