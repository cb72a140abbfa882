package live

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flashsale/pkg/checkout"
)

// shown is a page that has read the stock once.
func shown(t *testing.T) (o *operator, url string) {
	t.Helper()
	o = &operator{}
	l, _ := newLive(o, noTraffic{})
	l.sampleStock(context.Background())
	url, _ = serve(t, l)
	return o, url + Path + "products/"
}

func TestPageChangesASale(t *testing.T) {
	t.Parallel()
	o, url := shown(t)
	for action, asked := range map[string]string{"pause": "hide mug", "resume": "show mug", "end": "end mug"} {
		o.asked = nil
		status, text := send(t, http.MethodPost, url+"mug/"+action, "{}", nil)
		if d := cmp.Diff([]string{asked}, o.asked); status != http.StatusOK || d != "" || !strings.Contains(text, `"held":3,"ordered":2,"sold":1`) || !strings.Contains(text, `"changed":true`) {
			t.Errorf("%s: got %d %s, and the operator was asked\n%s", action, status, text, d)
		}
	}
	if status, text := send(t, http.MethodPost, url+"mug/delete", "{}", nil); status != http.StatusNotFound || !strings.Contains(text, "pause, resume or end") {
		t.Errorf("an unknown action: got %d %s, expected 404", status, text)
	}
}

func TestPageChangesOnlyWhatIsGiven(t *testing.T) {
	t.Parallel()
	o, url := shown(t)
	at := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	for body, want := range map[string]checkout.ProductChange{
		`{"name":"Cup"}`: {Name: new("Cup")},
		`{"price":{"amount":700,"currency":"EUR"},"stock":12}`: {Price: &checkout.Money{Amount: 700, Currency: "EUR"}, Stock: new(int64(12))},
		`{"max_qty_per_hold":3,"max_per_shopper":2}`:           {MaxQtyPerHold: new(int64(3)), MaxPerShopper: &checkout.Limit{Units: new(int64(2))}},
		`{"max_per_shopper":0}`:                                {MaxPerShopper: &checkout.Limit{}},
		`{"sale_starts_at":null,"sale_ends_at":""}`:            {SaleStartsAt: &checkout.Moment{}, SaleEndsAt: &checkout.Moment{}},
		`{"sale_ends_at":"2026-11-28T09:00:00Z","stock":0}`:    {SaleEndsAt: &checkout.Moment{At: &at}, Stock: new(int64(0))},
		`{"sale_starts_at":"2026-11-28T10:00:00+01:00"}`:       {SaleStartsAt: &checkout.Moment{At: &at}},
	} {
		want.ID = "mug"
		status, text := send(t, http.MethodPatch, url+"mug", body, nil)
		equal := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
		if d := cmp.Diff(want, o.change, equal); status != http.StatusOK || d != "" {
			t.Errorf("%s: got %d %s, and the change differs:\n%s", body, status, text, d)
		}
	}
}

func TestRefusedChangesSayWhy(t *testing.T) {
	t.Parallel()
	o, url := shown(t)
	for _, c := range []struct {
		name, method, path, body string
		refuse                   error
		status                   int
		says                     string
	}{
		{"nothing to change", "PATCH", "mug", `{}`, nil, 422, "nothing to change"},
		{"an invalid value", "PATCH", "mug", `{"stock":-1}`, nil, 422, `"field":"stock"`},
		{"an unknown field", "PATCH", "mug", `{"hidden":true}`, nil, 400, "hidden"},
		{"an unreadable time", "PATCH", "mug", `{"sale_ends_at":"tomorrow"}`, nil, 400, "tomorrow"},
		{"two values", "PATCH", "mug", `{"stock":1}{}`, nil, 400, "not one JSON value"},
		{"a member twice", "PATCH", "mug", `{"stock":11,"stock":12}`, nil, 400, "same member twice"},
		{"a product that the page does not show", "PATCH", "cup", `{"name":"Cup","stock":1,"price":{"amount":1,"currency":"USD"}}`, nil, 404, "product"},
		{"a product that does not exist", "POST", "cup/end", `{}`, checkout.ErrProductNotFound, 404, "product"},
		{"a refused value", "PATCH", "mug", `{"stock":3}`, checkout.Invalid("stock", "expected at least 6"), 422, "expected at least 6"},
		{"a busy database", "POST", "mug/pause", `{}`, checkout.Busy(errors.New("hunter2")), 503, "busy"},
		{"a failure", "POST", "mug/pause", `{}`, errors.New("hunter2"), 502, "may have taken effect"},
	} {
		o.refuse = c.refuse
		status, text := send(t, c.method, url+c.path, c.body, nil)
		if status != c.status || !strings.Contains(text, c.says) || strings.Contains(text, "hunter2") || !strings.Contains(text, `"detail":`) {
			t.Errorf("%s: got %d %s, expected %d with %q", c.name, status, text, c.status, c.says)
		}
	}
}

// No other site can change a sale: neither a script nor a form.
func TestOtherSitesChangeNothing(t *testing.T) {
	t.Parallel()
	o, url := shown(t)
	for name, c := range map[string]struct {
		header http.Header
		status int
	}{
		"another origin":            {http.Header{"Origin": {"https://evil.example"}}, http.StatusForbidden},
		"another port":              {http.Header{"Origin": {"http://127.0.0.1:1"}}, http.StatusForbidden},
		"a browser's cross-site":    {http.Header{"Sec-Fetch-Site": {"cross-site"}}, http.StatusForbidden},
		"a text":                    {http.Header{"Content-Type": {"text/plain"}}, http.StatusBadRequest},
		"a form":                    {http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, http.StatusBadRequest},
		"a browser's own page":      {http.Header{"Sec-Fetch-Site": {"same-origin"}}, http.StatusOK},
		"a program without browser": {nil, http.StatusOK},
	} {
		o.asked = nil
		status, text := send(t, http.MethodPost, url+"mug/pause", "{}", c.header)
		if status != c.status || (len(o.asked) > 0) != (c.status == http.StatusOK) {
			t.Errorf("%s: got %d %s after %v, expected %d", name, status, text, o.asked, c.status)
		}
	}
}
