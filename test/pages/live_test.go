package pages

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	"flashsale/internal/shoptest"
)

// click clicks an element by its selector.
func (p *page) click(selector string) {
	p.t.Helper()
	p.run("clicking "+selector, chromedp.Click(selector))
}

// fill replaces what a field has.
func (p *page) fill(id, text string) {
	p.t.Helper()
	eval[bool](p, fmt.Sprintf(`document.getElementById(%q).select(), true`, id))
	if text == "" {
		text = kb.Delete
	}
	p.run("filling "+id, chromedp.SendKeys("#"+id, text))
}

// hears waits until a screen reader is told a text.
func (p *page) hears(text string) {
	p.t.Helper()
	shoptest.Eventually(p.t, "a screen reader hears: "+text, func() bool {
		return eval[string](p, `document.getElementById('live').textContent`) == text
	})
}

// isFocused waits until an element has the focus.
func (p *page) isFocused(label string) {
	p.t.Helper()
	shoptest.Eventually(p.t, "the focus is on "+label, func() bool { return p.focused() == label })
}

func expectRequests(t *testing.T, s *liveServer, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, s.requests()); d != "" {
		t.Errorf("the page's requests differ (-expected +got):\n%s", d)
	}
}

func TestLiveShowsTheFigures(t *testing.T) {
	t.Parallel()
	s := newLiveServer(t, mug(480, 12, 5, 3))
	p := openURL(t, s.url)
	for _, text := range []string{"480 available", "12 held", "5 ordered", "3 sold", "20 all requests", "4 sold out", "12 ms p99", "1.5 ms p50", "250 ms lag"} {
		p.sees("li", text)
	}
	for _, text := range []string{"Live", "Audit clean", "Nothing owed"} {
		p.sees("span", text)
	}
	p.sees("p", "There are no orders yet.")
	s.mu.Lock()
	s.more = object{
		"trouble": "The database does not respond.", "more_products": 3,
		"owed":  object{"payments": 2, "money": []object{{"amount": 2998, "currency": "USD"}, {"amount": 500, "currency": "JPY"}}},
		"audit": object{"state": "broken", "broken": 2, "findings": []string{"Product mug has a wrong counter."}, "changes_at": at, "full_at": nil},
		"orders": []object{{"id": "ord_01kb", "product_id": "mug", "qty": 2, "amount": object{"amount": 2998, "currency": "USD"}, "status": "cancelled",
			"reason": "payment_timeout", "reference": "cart-7", "created_at": at, "updated_at": at}},
	}
	s.mu.Unlock()
	s.show(at+1000, mug(470, 10, 8, 12))
	for _, text := range []string{"470 available", "10 held", "8 ordered", "12 sold", "Product mug has a wrong counter.", "1 more: see flashsale audit"} {
		p.sees("li", text)
	}
	for _, text := range []string{"Audit broken: 2 findings", "Owed: $29.98, ¥500", "2 payments to refund", "Cancelled", "payment timeout"} {
		p.sees("span", text)
	}
	for _, text := range []string{"The database does not respond.", "3 more products are not shown.", "2 × Enamel mug for cart-7", "$29.98"} {
		p.sees("p", text)
	}
	p.hears("The audit is broken.")
	// A sample that is ten minutes later pushes the first one out.
	const first = "from 470 to 480"
	label := func() string { return eval[string](p, `document.querySelector('[data-product=mug] .plot').ariaLabel`) }
	shoptest.Eventually(t, "the chart has the first sample", func() bool { return strings.Contains(label(), first) })
	s.show(at+600_500, mug(400, 10, 8, 82))
	shoptest.Eventually(t, "the oldest sample is gone", func() bool { return strings.Contains(label(), "400 now, from 400 to 470") })
}

func TestLivePausesAndEndsAfterAQuestion(t *testing.T) {
	t.Parallel()
	s := newLiveServer(t, mug(480, 12, 5, 3))
	p := openURL(t, s.url)
	p.refusals = true
	const pause, end = `.card .row button:nth-child(1)`, `.card .row button:nth-child(2)`
	p.click(pause)
	p.sees("p", "Pause hides the product: shoppers get 404 and place no new holds. Existing holds and orders go on.")
	p.click("#confirm-no")
	p.isFocused("Pause")
	expectRequests(t, s)

	s.mu.Lock()
	s.refusal = object{"status": http.StatusConflict, "detail": "The database does not respond. Try again."}
	s.mu.Unlock()
	p.click(pause)
	p.click("#confirm-yes")
	p.sees("p", "The database does not respond. Try again.")
	p.click("#confirm-yes")
	p.sees("p", "Paused")
	p.hears("Paused. Shoppers no longer see the product.")
	p.isFocused("Resume")
	p.click(pause)
	p.hears("The product is on sale again, within its sale’s times.")
	p.sees("p", "On sale")

	p.click(end)
	p.sees("h2", "End the sale of Enamel mug?")
	p.click("#confirm-yes")
	p.sees("p", "Sale ended")
	p.click(end) // asks nothing more
	if eval[bool](p, `document.getElementById('confirm').open`) {
		t.Error("the page asks whether to end a sale that has ended")
	}
	expectRequests(t, s, "POST products/mug/pause {}", "POST products/mug/pause {}", "POST products/mug/resume {}", "POST products/mug/end {}")
}

func TestLiveChangeSendsOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	s := newLiveServer(t, with(mug(480, 12, 5, 3), "max_per_shopper", 2, "sale_ends_at", "2099-01-01T00:00:00Z"))
	p := openURL(t, s.url)
	p.refusals = true
	p.press("Change")
	p.sees("h2", "Change Enamel mug")
	p.press("Save")
	p.sees("p", "You have not changed anything yet.")
	p.fill("change-price", "12.345")
	p.fill("change-stock", "many")
	p.press("Save")
	p.sees("p", "Enter a number with at most 2 decimals.")
	p.sees("p", "Enter a whole number.")
	expectRequests(t, s)

	p.fill("change-price", "12.5")
	p.fill("change-stock", "10")
	p.fill("change-max_per_shopper", "")
	eval[bool](p, `document.getElementById('change-sale_ends_at').value = '', true`)
	s.mu.Lock()
	s.refusal = object{"status": http.StatusUnprocessableEntity, "detail": "The product cannot be changed.", "errors": []object{
		{"field": "stock", "detail": "expected at least 20"}, {"field": "price.currency", "detail": "expected another currency"}}}
	s.mu.Unlock()
	p.press("Save")
	p.sees("p", "Expected at least 20.")
	p.sees("p", "Expected another currency.")
	if id := eval[string](p, `document.activeElement.id + ' ' + document.activeElement.ariaInvalid`); id != "change-currency true" {
		t.Errorf("the focus is on %s, expected the first field that is refused", id)
	}
	p.fill("change-stock", "600")
	p.press("Save")
	p.hears("Saved: price, stock, most per shopper, sale ends.")
	p.isFocused("Change")
	const rest = `"max_per_shopper":0,"sale_ends_at":""}`
	expectRequests(t, s,
		`PATCH products/mug {"price":{"amount":1250,"currency":"USD"},"stock":10,`+rest,
		`PATCH products/mug {"price":{"amount":1250,"currency":"USD"},"stock":600,`+rest)
}

// The last figures stay while the server is away, and its history replaces them.
func TestLiveConnectsAgain(t *testing.T) {
	t.Parallel()
	s := newLiveServer(t, mug(480, 12, 5, 3))
	p := openURL(t, s.url)
	p.sees("li", "480 available")
	comeBack := s.hangUp()
	p.hears("The connection is lost. The figures are the last known ones.")
	p.sees("li", "480 available")
	if filter := eval[string](p, `getComputedStyle(document.querySelector('figure')).filter`); filter != "grayscale(1)" {
		t.Errorf("the last figures have the filter %s, expected that they are grey", filter)
	}
	if text := eval[string](p, `document.getElementById('connection').textContent`); !strings.HasPrefix(text, "Reconnecting: no news since ") {
		t.Errorf("the page says %q, expected that it connects again", text)
	}
	s.mu.Lock()
	s.products = []object{mug(100, 0, 0, 400)}
	s.stock = []object{s.stockSample(at + 5000)}
	s.mu.Unlock()
	comeBack()
	p.hears("The figures are live again.")
	p.sees("li", "100 available")
	p.sees("span", "Live")
	shoptest.Eventually(t, "the history replaces the samples", func() bool {
		return strings.Contains(eval[string](p, `document.querySelector('[data-product=mug] .plot').ariaLabel`), "100 now, from 100 to 100")
	})
}

// On a phone nothing is wider than the screen or too small for a finger. Charts that are not on the screen are not drawn.
func TestLiveFitsAPhone(t *testing.T) {
	t.Parallel()
	var products []object
	for i := range 40 {
		products = append(products, with(mug(480, 12, 5, 3), "id", fmt.Sprintf("mug-%d", i), "name", strings.Repeat("Enamel", 10)+fmt.Sprint(i)))
	}
	s := newLiveServer(t, products...)
	s.more = object{"trouble": strings.Repeat("trouble", 20), "orders": []object{{"id": "ord_" + strings.Repeat("0", 26), "product_id": "mug-1", "qty": 1,
		"amount": object{"amount": 1e12, "currency": "USD"}, "status": "pending_payment", "reason": "", "reference": strings.Repeat("cart", 20), "created_at": at, "updated_at": at}}}
	p := openURL(t, s.url)
	p.run("becoming a phone", chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch))
	p.sees("span", "Waiting for payment")
	shoptest.Eventually(t, "the first chart is drawn", func() bool { return eval[bool](p, `!!document.querySelector('#products canvas')`) })
	if canvases := eval[int](p, `document.querySelectorAll('canvas').length`); canvases >= len(products) {
		t.Errorf("%d charts are drawn, expected only those on the screen", canvases)
	}
	for _, dialog := range []string{"", "1", "3"} { // the page, the question and the form
		if dialog != "" {
			p.click(`.card .row button:nth-child(` + dialog + `)`)
		}
		if width := eval[int](p, `Math.max(...[document.documentElement, ...document.querySelectorAll('dialog[open]')].map(e => e.scrollWidth))`); width > 390 {
			t.Errorf("dialog %q: the page is %d pixels wide, expected at most 390", dialog, width)
		}
		if small := eval[string](p, `[...document.querySelectorAll('button, input')].filter(e => e.checkVisibility())
			.filter(e => e.offsetWidth < 44 || e.offsetHeight < 44).map(e => e.id || e.textContent).join()`); small != "" {
			t.Errorf("dialog %q: %s are smaller than 44 pixels", dialog, small)
		}
		p.run("pressing Escape", chromedp.KeyEvent(kb.Escape))
	}
}

func TestLiveKeyboardIsEnough(t *testing.T) {
	t.Parallel()
	s := newLiveServer(t, mug(480, 12, 5, 3))
	p := openURL(t, s.url)
	p.sees("button", "Pause")
	p.tab("Pause")
	p.run("pressing Enter", chromedp.KeyEvent(kb.Enter))
	p.isFocused("Cancel")
	p.tab("Pause")
	p.run("pressing Enter", chromedp.KeyEvent(kb.Enter))
	p.isFocused("Resume")
	p.tab("Change")
	p.run("pressing Enter", chromedp.KeyEvent(kb.Enter))
	p.isFocused("change-name")
	p.run("typing a name", chromedp.KeyEvent(" 2"+kb.Enter))
	p.isFocused("Change")
	expectRequests(t, s, "POST products/mug/pause {}", `PATCH products/mug {"name":"Enamel mug 2"}`)
}

// The charts follow the colours of the page, also when the colours change while it is open.
func TestLiveIsLightOrDark(t *testing.T) {
	t.Parallel()
	s := newLiveServer(t, mug(480, 12, 5, 3))
	s.stock = []object{s.stockSample(at), s.stockSample(at + 60_000)}
	p := openURL(t, s.url)
	seen := func(scheme string) string {
		t.Helper()
		features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
		if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
			t.Fatal(err)
		}
		shoptest.Eventually(t, "the chart is drawn", func() bool { return eval[bool](p, `!!document.querySelector('#products canvas')`) })
		// The page's ground, and the middle of the chart: units that are available.
		return eval[string](p, `(() => {
			const canvas = document.querySelector('#products canvas')
			const middle = new OffscreenCanvas(1, 1).getContext('2d')
			middle.drawImage(canvas, -canvas.width / 2, -canvas.height / 2)
			return getComputedStyle(document.body).backgroundColor + ' ' + middle.getImageData(0, 0, 1, 1).data.join()
		})()`)
	}
	shoptest.Eventually(t, "the light page has its colours", func() bool { return seen("light") == "rgb(246, 243, 238) 156,201,189,255" })
	shoptest.Eventually(t, "the dark page has its colours", func() bool { return seen("dark") == "rgb(20, 18, 16) 63,111,102,255" })
}
