package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

// mustProblem checks that an answer is a whole problem and tells nothing of the inside.
func mustProblem(t *testing.T, a answer, status int, code string) {
	t.Helper()
	var p struct {
		Type, Title, Detail, Code string
		Status                    int
		RequestID                 string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("not JSON: %+v", a)
	}
	if a.status != status || p.Status != status || p.Code != code || p.Type == "" || p.Title == "" || p.Detail == "" {
		t.Errorf("want %d %s, got %+v", status, code, a)
	}
	if a.header.Get("Content-Type") != "application/problem+json" || p.RequestID == "" || a.header.Get("X-Request-Id") != p.RequestID {
		t.Errorf("headers %v of %s", a.header, a.body)
	}
	if inside.MatchString(a.body) {
		t.Errorf("it tells of the inside: %s", a.body)
	}
}

var inside = regexp.MustCompile(`(?i)select|insert|mysql|127\.0\.0\.1|\.go:|goroutine|flashsale/pkg|json: |whsec`)

var idForm = regexp.MustCompile(`^(hold|ord)_[0-7][0-9a-hjkmnp-tv-z]{25}$`)

func TestMalformedHolds(t *testing.T) {
	everyWay(t, func(t *testing.T, open opener) {
		s := open(t, 10, options{})
		good := s.holdBody(1)
		for name, c := range map[string]struct {
			body   string
			header http.Header
			status int
			code   string
			field  string
		}{
			"empty":                    {"", http.Header{"Content-Type": {"application/json"}}, 400, "malformed_request", ""},
			"not JSON":                 {"{", nil, 400, "malformed_request", ""},
			"more behind":              {good + "{}", nil, 400, "malformed_request", ""},
			"an array":                 {"[1]", nil, 400, "malformed_request", ""},
			"a string":                 {`"x"`, nil, 400, "malformed_request", ""},
			"null":                     {"null", nil, 400, "malformed_request", ""},
			"bad UTF-8":                {"{\"product_id\":\"\xff\",\"qty\":1}", nil, 400, "malformed_request", ""},
			"deep":                     {strings.Repeat("[", 8000), nil, 400, "malformed_request", ""},
			"no fields":                {"{}", nil, 422, "invalid_request", "qty"},
			"qty a string":             {strings.Replace(good, `"qty":1`, `"qty":"1"`, 1), nil, 422, "invalid_request", "qty"},
			"qty a fraction":           {strings.Replace(good, `"qty":1`, `"qty":1.5`, 1), nil, 422, "invalid_request", "qty"},
			"qty null":                 {strings.Replace(good, `"qty":1`, `"qty":null`, 1), nil, 422, "invalid_request", "qty"},
			"qty zero":                 {strings.Replace(good, `"qty":1`, `"qty":0`, 1), nil, 422, "invalid_request", "qty"},
			"qty negative":             {strings.Replace(good, `"qty":1`, `"qty":-1`, 1), nil, 422, "invalid_request", "qty"},
			"qty huge":                 {strings.Replace(good, `"qty":1`, `"qty":99999999999999999999`, 1), nil, 422, "invalid_request", "qty"},
			"qty over the limit":       {strings.Replace(good, `"qty":1`, `"qty":101`, 1), nil, 422, "qty_over_limit", "qty"},
			"product a number":         {`{"product_id":1,"qty":1}`, nil, 422, "invalid_request", "product_id"},
			"product in upper case":    {`{"product_id":"DEMO","qty":1}`, nil, 422, "invalid_request", "product_id"},
			"product too long":         {`{"product_id":"` + strings.Repeat("a", 65) + `","qty":1}`, nil, 422, "invalid_request", "product_id"},
			"product unknown":          {`{"product_id":"unknown","qty":1}`, nil, 404, "product_not_found", ""},
			"unknown field":            {strings.Replace(good, `{`, `{"price":1,`, 1), nil, 422, "invalid_request", "price"},
			"a field in another case":  {strings.Replace(good, `"qty"`, `"Qty"`, 1), nil, 422, "invalid_request", "Qty"},
			"form":                     {good, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, 415, "unsupported_media_type", ""},
			"text":                     {good, http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, 415, "unsupported_media_type", ""},
			"one byte too many":        {good + strings.Repeat(" ", 16<<10-len(good)+1), nil, 413, "body_too_large", ""},
			"1 MiB":                    {good + strings.Repeat(" ", 1<<20), nil, 413, "body_too_large", ""},
			"key too short":            {good, keyHeader("fifteen-chars-x"), 422, "invalid_request", "Idempotency-Key"},
			"key too long":             {good, keyHeader(strings.Repeat("k", 256)), 422, "invalid_request", "Idempotency-Key"},
			"key empty":                {good, http.Header{"Idempotency-Key": {""}}, 422, "invalid_request", "Idempotency-Key"},
			"key with a space":         {good, keyHeader("sixteen chars or more"), 422, "invalid_request", "Idempotency-Key"},
			"two keys":                 {good, http.Header{"Idempotency-Key": {"sixteen-chars-or-more", "another-sixteen-chars"}}, 422, "invalid_request", "Idempotency-Key"},
			"key with one quote":       {good, keyHeader(`"sixteen-chars-or-more`), 422, "invalid_request", "Idempotency-Key"},
			"content type with params": {strings.Replace(good, `"qty":1`, `"qty":0`, 1), http.Header{"Content-Type": {"application/json; charset=utf-8"}}, 422, "invalid_request", "qty"},
		} {
			t.Run(name, func(t *testing.T) {
				a := s.do(t, http.MethodPost, "/v1/holds", c.body, c.header)
				mustProblem(t, a, c.status, c.code)
				if c.field != "" && !strings.Contains(a.body, `"field":"`+c.field+`"`) {
					t.Errorf("the field %q is not named: %s", c.field, a.body)
				}
			})
		}
		exact := good + strings.Repeat(" ", 16<<10-len(good))
		if a := s.do(t, http.MethodPost, "/v1/holds", exact, nil); a.status != http.StatusCreated {
			t.Errorf("a body of exactly 16 KiB: %+v", a)
		}
		if p := s.stock(t); p.ReservedStock != 1 {
			t.Errorf("reserved %d", p.ReservedStock)
		}
		s.MustAudit(t)
	})
}

func TestRoutesAndIDs(t *testing.T) {
	s := open(t, 10, options{})
	unknown := ledgertest.NewID()
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{http.MethodGet, "/v1/nothing", "", 404, "not_found"},
		{http.MethodGet, "/v1", "", 404, "not_found"},
		{http.MethodGet, "/v1/holds/", "", 404, "not_found"},
		{http.MethodGet, "/v1//products", "", 404, "not_found"},
		{http.MethodGet, "/v1/./products", "", 404, "not_found"},
		{http.MethodPost, "//v1/holds", s.holdBody(1), 404, "not_found"},
		{http.MethodGet, "/v1/holds", "", 405, "method_not_allowed"},
		{http.MethodPut, "/v1/products/x", "{}", 405, "method_not_allowed"},
		{http.MethodGet, "/v1/orders/" + unknown.OrderID() + "/cancel", "", 405, "method_not_allowed"},
		{http.MethodGet, "/v1/products/UPPER", "", 404, "product_not_found"},
		{http.MethodGet, "/v1/products/" + strings.Repeat("a", 65), "", 404, "product_not_found"},
		{http.MethodGet, "/v1/products/unknown", "", 404, "product_not_found"},
		{http.MethodGet, "/v1/holds/" + unknown.HoldID(), "", 404, "hold_not_found"},
		{http.MethodGet, "/v1/holds/" + unknown.OrderID(), "", 404, "hold_not_found"},
		{http.MethodGet, "/v1/holds/" + strings.ToUpper(unknown.HoldID()), "", 404, "hold_not_found"},
		{http.MethodGet, "/v1/holds/hold_" + strings.Repeat("z", 26), "", 404, "hold_not_found"},
		{http.MethodGet, "/v1/holds/" + strings.Repeat("x", 4000), "", 404, "hold_not_found"},
		{http.MethodDelete, "/v1/holds/" + unknown.HoldID(), "", 404, "hold_not_found"},
		{http.MethodGet, "/v1/orders/" + unknown.OrderID(), "", 404, "order_not_found"},
		{http.MethodPost, "/v1/orders/" + unknown.OrderID() + "/cancel", "", 404, "order_not_found"},
		{http.MethodPost, "/v1/orders", `{"hold_id":"` + unknown.HoldID() + `"}`, 404, "hold_not_found"},
		{http.MethodPost, "/v1/orders", `{"hold_id":"` + unknown.OrderID() + `"}`, 422, "invalid_request"},
		{http.MethodPost, "/v1/orders", `{"hold_id":"` + strings.Repeat("x", 1000) + `"}`, 422, "invalid_request"},
		{http.MethodPost, "/v1/orders", `{}`, 422, "invalid_request"},
		{http.MethodPost, "/v1/orders", ``, 400, "malformed_request"},
		{http.MethodGet, "/v1/products?limit=0", "", 422, "invalid_request"},
		{http.MethodGet, "/v1/products?limit=101", "", 422, "invalid_request"},
		{http.MethodGet, "/v1/products?limit=x", "", 422, "invalid_request"},
		{http.MethodGet, "/v1/products?cursor=!", "", 422, "invalid_request"},
		{http.MethodGet, "/v1/products?cursor=" + strings.Repeat("a", 200), "", 422, "invalid_request"},
	} {
		a := s.do(t, c.method, c.path, c.body, nil)
		mustProblem(t, a, c.status, c.code)
		if c.status == http.StatusMethodNotAllowed && a.header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
	}
}

func TestHoldsAndOrders(t *testing.T) {
	everyWay(t, func(t *testing.T, open opener) {
		s := open(t, 10, options{})
		a := s.hold(t, 2, `"a-key-in-quotes-is-the-same"`)
		id, ok := checkout.ParseHoldID(a.text("id"))
		if a.status != http.StatusCreated || !ok || !idForm.MatchString(a.text("id")) || a.header.Get("Location") != "/v1/holds/"+a.text("id") ||
			a.text("status") != "active" || a.text("order_id") != "" || a.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%+v", a)
		}
		if again := s.hold(t, 2, `a-key-in-quotes-is-the-same`); again.status != 200 || again.header.Get("Idempotent-Replayed") != "true" || again.body != a.body {
			t.Errorf("%+v", again)
		}
		mustProblem(t, s.hold(t, 3, `a-key-in-quotes-is-the-same`), 422, "idempotency_key_reused")
		created, expires := parseTime(t, a.text("created_at")), parseTime(t, a.text("expires_at"))
		if d := expires.Sub(created); d != 2*time.Minute {
			t.Errorf("it lasts %s", d)
		}

		first := s.order(t, id)
		if first.status != http.StatusCreated || first.text("id") != id.OrderID() || first.text("hold_id") != id.HoldID() ||
			first.header.Get("Location") != "/v1/orders/"+id.OrderID() || first.text("status") != "pending_payment" || !strings.Contains(first.body, `"amount":{"amount":9998,"currency":"USD"}`) {
			t.Errorf("%+v", first)
		}
		if d := parseTime(t, first.text("pay_by")).Sub(parseTime(t, first.text("created_at"))); d != 15*time.Minute {
			t.Errorf("it waits %s", d)
		}
		if again := s.order(t, id); again.status != 200 || again.body != first.body {
			t.Errorf("%+v", again)
		}
		if h := s.do(t, http.MethodGet, "/v1/holds/"+id.HoldID(), "", nil); h.text("status") != "ordered" || h.text("order_id") != id.OrderID() {
			t.Errorf("%+v", h)
		}
		mustProblem(t, s.do(t, http.MethodDelete, "/v1/holds/"+id.HoldID(), "", nil), 409, "hold_ordered")
		for range 2 {
			if c := s.do(t, http.MethodPost, "/v1/orders/"+id.OrderID()+"/cancel", "", nil); c.status != 200 || c.text("status") != "cancelled" || c.text("reason") != "customer" {
				t.Errorf("%+v", c)
			}
		}

		released := s.mustHold(t, 1)
		for range 2 {
			if d := s.do(t, http.MethodDelete, "/v1/holds/"+released.HoldID(), "", nil); d.status != 204 || d.body != "" {
				t.Errorf("%+v", d)
			}
		}
		mustProblem(t, s.order(t, released), 409, "hold_released")
		paid := s.mustOrder(t, 1)
		s.deliver(t, uuid.NewString(), s.event("payment.succeeded", paid, 1))
		mustProblem(t, s.do(t, http.MethodPost, "/v1/orders/"+paid.OrderID()+"/cancel", "", nil), 409, "order_not_cancellable")
		s.MustAudit(t)
	})
}

func parseTime(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04:05.000Z", text)
	if err != nil {
		t.Error(err)
	}
	return at
}

func TestExpiredHold(t *testing.T) {
	everyWay(t, func(t *testing.T, open opener) {
		s := open(t, 10, options{holdTTL: 200 * time.Millisecond})
		id := s.mustHold(t, 1)
		eventually(t, "the hold expires", func() bool {
			return s.do(t, http.MethodGet, "/v1/holds/"+id.HoldID(), "", nil).text("status") == "expired"
		})
		mustProblem(t, s.order(t, id), 410, "hold_expired")
		if d := s.do(t, http.MethodDelete, "/v1/holds/"+id.HoldID(), "", nil); d.status != 204 {
			t.Errorf("%+v", d)
		}
		s.MustAudit(t)
	})
}

func TestUnpaidOrderGivesItsStockBack(t *testing.T) {
	everyWay(t, func(t *testing.T, open opener) {
		s := open(t, 2, options{window: 200 * time.Millisecond})
		id := s.mustOrder(t, 2)
		eventually(t, "the order is cancelled", func() bool {
			o := s.do(t, http.MethodGet, "/v1/orders/"+id.OrderID(), "", nil)
			return o.text("status") == "cancelled" && o.text("reason") == "payment_timeout"
		})
		// The stock view hears of it a moment after the order's row.
		eventually(t, "the stock is back", func() bool { return s.hold(t, 2, "").status == http.StatusCreated })
		s.MustAudit(t)
	})
}

func TestSaleWindowAndSoldOut(t *testing.T) {
	everyWay(t, func(t *testing.T, open opener) {
		s := open(t, 2, options{})
		starts, ends := time.Now().Add(1500*time.Millisecond).UTC().Truncate(time.Millisecond), time.Now().Add(3*time.Second).UTC()
		put := func(c checkout.ProductChange) {
			c.ID = s.product
			if _, _, err := s.PutProduct(context.Background(), c); err != nil {
				t.Fatal(err)
			}
		}
		put(checkout.ProductChange{SaleStartsAt: &checkout.Moment{At: &starts}, SaleEndsAt: &checkout.Moment{At: &ends}})
		a := s.hold(t, 1, "")
		mustProblem(t, a, 409, "sale_not_started")
		if !parseTime(t, a.text("sale_starts_at")).Equal(starts) {
			t.Errorf("%s, want %s", a.body, starts)
		}
		for a.code() == "sale_not_started" {
			a = s.hold(t, 1, "")
		}
		id, _ := checkout.ParseHoldID(a.text("id"))
		if h := must(s.Hold(context.Background(), id))(t); h.CreatedAt.Before(starts) || h.CreatedAt.Sub(starts) > time.Second {
			t.Errorf("the first hold came %s after the start", h.CreatedAt.Sub(starts))
		}
		eventually(t, "the sale ends", func() bool {
			a = s.hold(t, 2, "")
			return a.code() == "sale_ended"
		})
		mustProblem(t, a, 409, "sale_ended")
		put(checkout.ProductChange{SaleEndsAt: &checkout.Moment{}})
		eventually(t, "the sale goes on", func() bool {
			a = s.hold(t, 2, "")
			return a.code() == "sold_out"
		})
		mustProblem(t, a, 409, "sold_out")
		if !strings.Contains(a.body, `"available_stock":1`) {
			t.Errorf("%+v", a)
		}
	})
}

func TestProducts(t *testing.T) {
	everyWay(t, func(t *testing.T, open opener) {
		s := open(t, 5, options{})
		path := "/v1/products/" + s.product
		a := s.do(t, http.MethodGet, path, "", nil)
		etag := a.header.Get("ETag")
		if a.status != 200 || etag == "" || a.header.Get("Cache-Control") != "public, max-age=1" || parseTime(t, a.text("as_of")).IsZero() {
			t.Errorf("%+v", a)
		}
		for _, match := range []string{etag, "*", `"x", ` + etag, strings.TrimPrefix(etag, "W/")} {
			if n := s.do(t, http.MethodGet, path, "", http.Header{"If-None-Match": {match}}); n.status != 304 || n.body != "" || n.header.Get("ETag") != etag {
				t.Errorf("%s: %+v", match, n)
			}
		}
		s.mustHold(t, 1)
		if n := s.do(t, http.MethodGet, path, "", http.Header{"If-None-Match": {etag}}); n.status != 200 || n.header.Get("ETag") == etag || !strings.Contains(n.body, `"available_stock":4`) {
			t.Errorf("after a change: %+v", n)
		}

		for i := range 4 {
			s.MustPut(t, fmt.Sprintf("a-%d", i), 1)
		}
		var ids []string
		for cursor, pages := "", 0; ; pages++ {
			var page struct {
				Data       []struct{ ID string }
				HasMore    bool    `json:"has_more"`
				NextCursor *string `json:"next_cursor"`
			}
			a := s.do(t, http.MethodGet, "/v1/products?limit=2&cursor="+cursor, "", nil)
			if err := json.Unmarshal([]byte(a.body), &page); err != nil || !strings.Contains(a.body, `"next_cursor":`) {
				t.Fatalf("%+v", a)
			}
			for _, p := range page.Data {
				ids = append(ids, p.ID)
			}
			if page.HasMore != (page.NextCursor != nil) || pages > 3 {
				t.Fatalf("%+v", a)
			}
			if !page.HasMore {
				break
			}
			cursor = *page.NextCursor
		}
		if want := []string{"a-0", "a-1", "a-2", "a-3", s.product}; fmt.Sprint(ids) != fmt.Sprint(want) {
			t.Errorf("listed %v, want %v", ids, want)
		}
	})
}
