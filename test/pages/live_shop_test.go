package pages

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"flashsale/internal/shoptest"
)

// The page follows a purchase on the real server, and what the operator presses reaches the shoppers.
func TestLiveFollowsAndRunsASale(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 20, shoptest.Options{Live: true})
	p := openURL(t, s.URL+"/live/")
	p.sees("li", "20 available")
	p.sees("p", "There are no orders yet.")
	id := s.MustHold(t, 2)
	p.sees("li", "18 available")
	p.sees("li", "2 held")
	s.PostOrder(t, id)
	p.sees("li", "2 ordered")
	p.sees("li", "0 held")
	p.sees("span", "Waiting for payment")
	p.sees("p", "2 × Test product")
	s.Deliver(t, "evt_1", s.Event("payment.succeeded", id, 2))
	p.sees("li", "2 sold")
	p.sees("span", "Paid")
	shoptest.Eventually(t, "the page has requests per second", func() bool {
		s.Do(t, http.MethodGet, "/v1/products/"+s.ProductID, "", nil)
		return eval[bool](p, `[...document.querySelectorAll('li')].some(li => /^[1-9][\d,.]* ?all requests$/.test(li.textContent.trim()))`)
	})

	const pause, end = `.card .row button:nth-child(1)`, `.card .row button:nth-child(2)`
	p.click(pause)
	p.click("#confirm-yes")
	p.hears("Paused. Shoppers no longer see the product.")
	shoptest.CheckProblem(t, s.PostHold(t, 1, ""), http.StatusNotFound, "product_not_found")
	p.click(pause)
	p.hears("Resumed. Shoppers see the product again.")
	shoptest.Eventually(t, "shoppers place holds again", func() bool { return s.PostHold(t, 1, "").Status == http.StatusCreated })
	p.sees("li", "1 held")

	p.press("Change")
	p.fill("change-stock", "30")
	p.press("Save")
	p.hears("Saved: stock.")
	if stock := s.Stock(t); stock.Stock != 30 || stock.SoldStock != 2 {
		t.Errorf("the stock is %+v, expected 30 units, 2 of them sold", stock)
	}
	p.sees("li", "27 available")

	p.click(end)
	p.click("#confirm-yes")
	p.hears("The sale has ended.")
	p.sees("p", "Sale ended")
	shoptest.CheckProblem(t, s.PostHold(t, 1, ""), http.StatusConflict, "sale_ended")

	p.run("becoming a phone", chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch))
	if width := eval[int](p, `document.documentElement.scrollWidth`); width > 390 {
		t.Errorf("the page is %d pixels wide on a phone, expected at most 390", width)
	}
}

// When the server stops, the page says so and keeps its last figures.
func TestLiveKeepsItsFiguresWhenTheServerStops(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 20, shoptest.Options{Live: true})
	s.MustHold(t, 2)
	p := openURL(t, s.URL+"/live/")
	p.unreachable = true
	for _, text := range []string{"18 available", "2 held"} {
		p.sees("li", text)
	}
	p.sees("span", "Live")
	s.Stop()
	p.hears("The connection is lost. The page shows the last known figures.")
	for _, text := range []string{"18 available", "2 held"} {
		p.sees("li", text)
	}
	if text := eval[string](p, `document.getElementById('connection').textContent`); !strings.HasPrefix(text, "Reconnecting: no data since ") {
		t.Errorf("the page says %q, expected that it connects again", text)
	}
}
