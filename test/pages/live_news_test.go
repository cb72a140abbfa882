package pages

import (
	"fmt"
	"strings"
	"testing"

	"flashsale/internal/shoptest"
)

// The page is connected while its server's database is not. The figures are then as old as without a connection.
func TestLiveSaysThatTheServerHasNoNews(t *testing.T) {
	t.Parallel()
	s := newLiveServer(t, mug(480, 12, 5, 3))
	s.more = object{"trouble": "The database is busy or cannot be reached."}
	p := openURL(t, s.url)
	p.sees("li", "480 available")
	p.sees("span", "Live")
	s.show(at, mug(480, 12, 5, 3)) // the figures are as old as before
	shoptest.Eventually(t, "the page says since when there is no news", func() bool {
		return strings.HasPrefix(eval[string](p, `document.getElementById('connection').textContent`), "Connected, no data since ")
	})
	if filter := eval[string](p, `getComputedStyle(document.querySelector('figure')).filter`); filter != "grayscale(1)" {
		t.Errorf("the old figures have the filter %s, expected that they are grey", filter)
	}
	s.mu.Lock()
	s.more = nil
	s.mu.Unlock()
	s.show(at+1000, mug(470, 22, 5, 3))
	p.sees("li", "470 available")
	p.sees("span", "Live")
}

// A server whose database was never reached knows no debts; it does not know that there are none.
func TestLiveClaimsNothingWithoutFigures(t *testing.T) {
	t.Parallel()
	s := newLiveServer(t)
	s.stock, s.more = []object{}, object{"at": 0, "trouble": "The stock and the orders cannot be read; the log has the cause."}
	p := openURL(t, s.url)
	p.sees("span", "Connected, no figures yet")
	for id, want := range map[string]string{"owed": "Owed: unknown", "audit": "Audit unknown"} {
		if got := eval[string](p, fmt.Sprintf(`document.getElementById(%q).textContent`, id)); got != want {
			t.Errorf("the page says %q, expected %q", got, want)
		}
	}
	if eval[bool](p, `getComputedStyle(document.getElementById('no-products')).display !== 'none'`) {
		t.Error("the page says that there are no products, but nobody knows")
	}
}

// Six streams are all connections that a browser opens to a server, so a page in the background has none.
func TestLiveListensOnlyWhileItIsSeen(t *testing.T) {
	t.Parallel()
	s := newLiveServer(t, mug(480, 12, 5, 3))
	p := openURL(t, s.url)
	p.sees("li", "480 available")
	streams := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.streams)
	}
	hide := func(hidden bool) {
		eval[bool](p, fmt.Sprintf(`Object.defineProperty(document, 'hidden', {value: %t, configurable: true}), document.dispatchEvent(new Event('visibilitychange'))`, hidden))
	}
	hide(true)
	shoptest.Eventually(t, "the hidden page ends its stream", func() bool { return streams() == 0 })
	s.mu.Lock()
	s.products = []object{mug(470, 22, 5, 3)}
	s.stock = []object{s.stockSample(at + 1000)}
	s.mu.Unlock()
	hide(false)
	p.sees("li", "470 available")
	p.sees("span", "Live")
	if n := streams(); n != 1 {
		t.Errorf("the page has %d streams, expected one", n)
	}
}
