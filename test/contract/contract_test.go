package contract

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
	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

var idForm = regexp.MustCompile(`^(hold|ord)_[0-7][0-9a-hjkmnp-tv-z]{25}$`)

func TestMalformedHolds(t *testing.T) {
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 10, shoptest.Options{})
		good := s.HoldBody(1)
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
			"key too short":            {good, shoptest.KeyHeader("fifteen-chars-x"), 422, "invalid_request", "Idempotency-Key"},
			"key too long":             {good, shoptest.KeyHeader(strings.Repeat("k", 256)), 422, "invalid_request", "Idempotency-Key"},
			"key empty":                {good, http.Header{"Idempotency-Key": {""}}, 422, "invalid_request", "Idempotency-Key"},
			"key with a space":         {good, shoptest.KeyHeader("sixteen chars or more"), 422, "invalid_request", "Idempotency-Key"},
			"two keys":                 {good, http.Header{"Idempotency-Key": {"sixteen-chars-or-more", "another-sixteen-chars"}}, 422, "invalid_request", "Idempotency-Key"},
			"key with one quote":       {good, shoptest.KeyHeader(`"sixteen-chars-or-more`), 422, "invalid_request", "Idempotency-Key"},
			"content type with params": {strings.Replace(good, `"qty":1`, `"qty":0`, 1), http.Header{"Content-Type": {"application/json; charset=utf-8"}}, 422, "invalid_request", "qty"},
		} {
			t.Run(name, func(t *testing.T) {
				a := s.Do(t, http.MethodPost, "/v1/holds", c.body, c.header)
				shoptest.CheckProblem(t, a, c.status, c.code)
				if c.field != "" && !strings.Contains(a.Body, `"field":"`+c.field+`"`) {
					t.Errorf("the field %q is not named: %s", c.field, a.Body)
				}
			})
		}
		exact := good + strings.Repeat(" ", 16<<10-len(good))
		if a := s.Do(t, http.MethodPost, "/v1/holds", exact, nil); a.Status != http.StatusCreated {
			t.Errorf("a body of exactly 16 KiB: %+v", a)
		}
		if p := s.Stock(t); p.ReservedStock != 1 {
			t.Errorf("reserved %d", p.ReservedStock)
		}
		s.MustAudit(t)
	})
}

func TestRoutesAndIDs(t *testing.T) {
	s := shoptest.Open(t, 10, shoptest.Options{})
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
		{http.MethodPost, "//v1/holds", s.HoldBody(1), 404, "not_found"},
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
		a := s.Do(t, c.method, c.path, c.body, nil)
		shoptest.CheckProblem(t, a, c.status, c.code)
		if c.status == http.StatusMethodNotAllowed && a.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
	}
}

func TestHoldsAndOrders(t *testing.T) {
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 10, shoptest.Options{})
		a := s.PostHold(t, 2, `"a-key-in-quotes-is-the-same"`)
		id, ok := checkout.ParseHoldID(a.Text("id"))
		if a.Status != http.StatusCreated || !ok || !idForm.MatchString(a.Text("id")) || a.Header.Get("Location") != "/v1/holds/"+a.Text("id") ||
			a.Text("status") != "active" || a.Text("order_id") != "" || a.Header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%+v", a)
		}
		if again := s.PostHold(t, 2, `a-key-in-quotes-is-the-same`); again.Status != 200 || again.Header.Get("Idempotent-Replayed") != "true" || again.Body != a.Body {
			t.Errorf("%+v", again)
		}
		shoptest.CheckProblem(t, s.PostHold(t, 3, `a-key-in-quotes-is-the-same`), 422, "idempotency_key_reused")
		created, expires := parseTime(t, a.Text("created_at")), parseTime(t, a.Text("expires_at"))
		if d := expires.Sub(created); d != 2*time.Minute {
			t.Errorf("it lasts %s", d)
		}

		first := s.PostOrder(t, id)
		if first.Status != http.StatusCreated || first.Text("id") != id.OrderID() || first.Text("hold_id") != id.HoldID() ||
			first.Header.Get("Location") != "/v1/orders/"+id.OrderID() || first.Text("status") != "pending_payment" || !strings.Contains(first.Body, `"amount":{"amount":9998,"currency":"USD"}`) {
			t.Errorf("%+v", first)
		}
		if d := parseTime(t, first.Text("pay_by")).Sub(parseTime(t, first.Text("created_at"))); d != 15*time.Minute {
			t.Errorf("it waits %s", d)
		}
		if again := s.PostOrder(t, id); again.Status != 200 || again.Body != first.Body {
			t.Errorf("%+v", again)
		}
		if h := s.Do(t, http.MethodGet, "/v1/holds/"+id.HoldID(), "", nil); h.Text("status") != "ordered" || h.Text("order_id") != id.OrderID() {
			t.Errorf("%+v", h)
		}
		shoptest.CheckProblem(t, s.Do(t, http.MethodDelete, "/v1/holds/"+id.HoldID(), "", nil), 409, "hold_ordered")
		for range 2 {
			if c := s.Do(t, http.MethodPost, "/v1/orders/"+id.OrderID()+"/cancel", "", nil); c.Status != 200 || c.Text("status") != "cancelled" || c.Text("reason") != "customer" {
				t.Errorf("%+v", c)
			}
		}

		released := s.MustHold(t, 1)
		for range 2 {
			if d := s.Do(t, http.MethodDelete, "/v1/holds/"+released.HoldID(), "", nil); d.Status != 204 || d.Body != "" {
				t.Errorf("%+v", d)
			}
		}
		shoptest.CheckProblem(t, s.PostOrder(t, released), 409, "hold_released")
		paid := s.MustOrder(t, 1)
		s.Deliver(t, uuid.NewString(), s.Event("payment.succeeded", paid, 1))
		shoptest.CheckProblem(t, s.Do(t, http.MethodPost, "/v1/orders/"+paid.OrderID()+"/cancel", "", nil), 409, "order_not_cancellable")
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
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 10, shoptest.Options{HoldTTL: 200 * time.Millisecond})
		id := s.MustHold(t, 1)
		shoptest.Eventually(t, "the hold expires", func() bool {
			return s.Do(t, http.MethodGet, "/v1/holds/"+id.HoldID(), "", nil).Text("status") == "expired"
		})
		shoptest.CheckProblem(t, s.PostOrder(t, id), 410, "hold_expired")
		if d := s.Do(t, http.MethodDelete, "/v1/holds/"+id.HoldID(), "", nil); d.Status != 204 {
			t.Errorf("%+v", d)
		}
		s.MustAudit(t)
	})
}

func TestUnpaidOrderGivesItsStockBack(t *testing.T) {
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 2, shoptest.Options{PaymentWindow: 200 * time.Millisecond})
		id := s.MustOrder(t, 2)
		shoptest.Eventually(t, "the order is cancelled", func() bool {
			o := s.Do(t, http.MethodGet, "/v1/orders/"+id.OrderID(), "", nil)
			return o.Text("status") == "cancelled" && o.Text("reason") == "payment_timeout"
		})
		// The stock view hears of it a moment after the order's row.
		shoptest.Eventually(t, "the stock is back", func() bool { return s.PostHold(t, 2, "").Status == http.StatusCreated })
		s.MustAudit(t)
	})
}

func TestSaleWindowAndSoldOut(t *testing.T) {
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 2, shoptest.Options{})
		starts, ends := time.Now().Add(1500*time.Millisecond).UTC().Truncate(time.Millisecond), time.Now().Add(3*time.Second).UTC()
		put := func(c checkout.ProductChange) {
			c.ID = s.ProductID
			if _, _, err := s.PutProduct(context.Background(), c); err != nil {
				t.Fatal(err)
			}
		}
		put(checkout.ProductChange{SaleStartsAt: &checkout.Moment{At: &starts}, SaleEndsAt: &checkout.Moment{At: &ends}})
		a := s.PostHold(t, 1, "")
		shoptest.CheckProblem(t, a, 409, "sale_not_started")
		if !parseTime(t, a.Text("sale_starts_at")).Equal(starts) {
			t.Errorf("%s, want %s", a.Body, starts)
		}
		for a.Code() == "sale_not_started" {
			a = s.PostHold(t, 1, "")
		}
		id, _ := checkout.ParseHoldID(a.Text("id"))
		if h := shoptest.Must(s.Hold(context.Background(), id))(t); h.CreatedAt.Before(starts) || h.CreatedAt.Sub(starts) > time.Second {
			t.Errorf("the first hold came %s after the start", h.CreatedAt.Sub(starts))
		}
		shoptest.Eventually(t, "the sale ends", func() bool {
			a = s.PostHold(t, 2, "")
			return a.Code() == "sale_ended"
		})
		shoptest.CheckProblem(t, a, 409, "sale_ended")
		put(checkout.ProductChange{SaleEndsAt: &checkout.Moment{}})
		shoptest.Eventually(t, "the sale goes on", func() bool {
			a = s.PostHold(t, 2, "")
			return a.Code() == "sold_out"
		})
		shoptest.CheckProblem(t, a, 409, "sold_out")
		if !strings.Contains(a.Body, `"available_stock":1`) {
			t.Errorf("%+v", a)
		}
	})
}

func TestProducts(t *testing.T) {
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 5, shoptest.Options{})
		path := "/v1/products/" + s.ProductID
		a := s.Do(t, http.MethodGet, path, "", nil)
		etag := a.Header.Get("ETag")
		if a.Status != 200 || etag == "" || a.Header.Get("Cache-Control") != "public, max-age=1" || parseTime(t, a.Text("as_of")).IsZero() {
			t.Errorf("%+v", a)
		}
		for _, match := range []string{etag, "*", `"x", ` + etag, strings.TrimPrefix(etag, "W/")} {
			if n := s.Do(t, http.MethodGet, path, "", http.Header{"If-None-Match": {match}}); n.Status != 304 || n.Body != "" || n.Header.Get("ETag") != etag {
				t.Errorf("%s: %+v", match, n)
			}
		}
		s.MustHold(t, 1)
		if n := s.Do(t, http.MethodGet, path, "", http.Header{"If-None-Match": {etag}}); n.Status != 200 || n.Header.Get("ETag") == etag || !strings.Contains(n.Body, `"available_stock":4`) {
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
			a := s.Do(t, http.MethodGet, "/v1/products?limit=2&cursor="+cursor, "", nil)
			if err := json.Unmarshal([]byte(a.Body), &page); err != nil || !strings.Contains(a.Body, `"next_cursor":`) {
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
		if want := []string{"a-0", "a-1", "a-2", "a-3", s.ProductID}; fmt.Sprint(ids) != fmt.Sprint(want) {
			t.Errorf("listed %v, want %v", ids, want)
		}
	})
}
