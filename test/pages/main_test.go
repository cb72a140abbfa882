// Package pages tests the project's pages in a real browser. The storefront runs against the local server.
package pages

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"flashsale/internal/devstack"
	"flashsale/internal/shoptest"
)

// patience is long, so that a test fails only if the page never shows what is expected, however busy the machine is.
const patience = time.Minute

// browser is shared by all tests.
var browser struct {
	once sync.Once
	ctx  context.Context //nolint:containedctx // chromedp's handle of a browser is a context
	stop func()
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if browser.stop != nil {
		browser.stop()
	}
	os.Exit(code)
}

// startBrowser starts the browser that all tests share. Each has a profile of its own in it.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	browser.once.Do(func() {
		path, err := devstack.Browser(context.Background(), t.Logf)
		if err != nil {
			browser.err = err
			return
		}
		// The tests run as root in CI, where Chromium has no sandbox. Its pages are the project's own.
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WSURLReadTimeout(patience),
			// Otherwise Chromium drops a press before the first paint, which may be late on a busy machine.
			chromedp.Flag("allow-pre-commit-input", true), chromedp.Flag("disable-features", "Translate,PaintHolding"))
		allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, stop := chromedp.NewContext(allocator)
		browser.ctx, browser.err = ctx, chromedp.Do(ctx)
		browser.stop = func() { stop(); stopAllocator() }
	})
	if browser.err != nil {
		t.Fatalf("the tests of the pages need a browser: %v", browser.err)
	}
	return browser.ctx
}

// page is a tab.
type page struct {
	t      *testing.T
	ctx    context.Context //nolint:containedctx // chromedp's handle of a tab is a context
	mu     sync.Mutex
	errors []string
	// refusals are expected: the browser's console has a line for each response of 400 to 499.
	refusals bool
	// unreachable means that the server stops: the console has a line for each request without a response.
	unreachable bool
}

// open shows the shop in a new profile.
func open(t *testing.T, s *shoptest.Shop) *page {
	t.Helper()
	return openURL(t, s.URL+"/shop/")
}

// openURL shows a page in a new profile. The test fails if the browser's console has an error by its end.
func openURL(t *testing.T, url string) *page {
	t.Helper()
	parent := startBrowser(t)
	tab, closeTab := chromedp.NewContext(parent, chromedp.WithNewBrowserContext())
	if err := chromedp.Do(tab); err != nil { // opens the tab, which lives as long as this context
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tab, patience)
	p := &page{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, p.listen); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			p.describe()
		}
		cancel()
		closeTab()
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.errors) > 0 {
			t.Errorf("the browser's console has %q, expected no error", p.errors)
		}
	})
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	p.run("opening "+url, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(url))
	return p
}

// listen keeps the errors of the console: of scripts, of loading, and of the Content-Security-Policy.
func (p *page) listen(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			text = fmt.Sprint(e.Type, " ", e.Args)
		}
	case *log.EventEntryAdded:
		text = string(e.Entry.Level) + ": " + e.Entry.Text + " " + e.Entry.URL
		if p.refusals && e.Entry.Source == log.EntrySourceNetwork && strings.Contains(text, "status of 4") {
			text = ""
		}
		if p.unreachable && e.Entry.Source == log.EntrySourceNetwork && strings.Contains(text, "net::ERR_") {
			text = ""
		}
	}
	if text != "" {
		p.mu.Lock()
		p.errors = append(p.errors, text)
		p.mu.Unlock()
	}
}

func (p *page) run(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// sees waits until an element shows exactly this text.
func (p *page) sees(element, text string) {
	p.t.Helper()
	p.run("waiting for "+text, chromedp.WaitVisible(fmt.Sprintf(`//%s[normalize-space()=%q]`, element, text)))
}

// press clicks the button with this label.
func (p *page) press(label string) {
	p.t.Helper()
	p.run("pressing "+label, chromedp.Click(fmt.Sprintf(`//button[normalize-space()=%q]`, label)))
}

// eval returns what a script yields in the page.
func eval[T any](p *page, script string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		p.t.Fatalf("the script %s: %v", script, err)
	}
	return value
}

// focused is the label of the element that has the focus.
func (p *page) focused() string {
	p.t.Helper()
	return eval[string](p, `(document.activeElement.textContent || document.activeElement.id).trim()`)
}

// tab presses Tab until the focus is on an element, which has to show it.
func (p *page) tab(to string) {
	p.t.Helper()
	for range 12 {
		p.run("pressing Tab", chromedp.KeyEvent(kb.Tab))
		if p.focused() != to {
			continue
		}
		if outline := eval[string](p, `(s => s.outlineStyle + ' ' + s.outlineWidth)(getComputedStyle(document.activeElement))`); outline != "solid 3px" {
			p.t.Errorf("%s: the outline of the focus is %s, expected solid 3px", to, outline)
		}
		return
	}
	p.t.Fatalf("Tab does not reach %s, it stays at %s", to, p.focused())
}

// describe logs what the page shows and its last requests, so that a lost press and a missing response look different.
func (p *page) describe() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText + '\n\n' + document.visibilityState + ' after ' + Math.round(performance.now()) + ' ms, requests that ended:\n' +
		performance.getEntriesByType('resource').filter(r => !r.name.includes('/v1/products')).slice(-10)
			.map(r => Math.round(r.startTime) + ' to ' + Math.round(r.responseEnd) + ' ms: ' + r.responseStatus + ' ' + r.name).join('\n')`))
	p.t.Logf("the page shows (%v):\n%s", err, text)
}
