package contract

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

var idForm = regexp.MustCompile(`^(hold|ord)_[0-7][0-9a-hjkmnp-tv-z]{25}$`)

// One request for each kind of refusal, through the server and through the gateway: the client gets the handler's
// response unchanged. pkg/api tests every form of each.
func TestRefusalsReachTheClient(t *testing.T) {
	t.Parallel()
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 10, shoptest.Options{})
		good, unknown := s.HoldBody(1), ledgertest.NewID()
		for _, c := range []struct {
			method, path, body string
			header             http.Header
			status             int
			code               string
		}{
			{http.MethodPost, "/v1/holds", "{", nil, 400, "malformed_request"},
			{http.MethodPost, "/v1/holds", "{\"product_id\":\"\xff\",\"qty\":1}", nil, 400, "malformed_request"},
			{http.MethodPost, "/v1/holds", strings.Replace(good, "{", `{"qty":1,`, 1), nil, 400, "malformed_request"},
			{http.MethodPost, "/v1/holds", strings.Replace(good, "{", `{"price":1,`, 1), nil, 422, "invalid_request"},
			{http.MethodPost, "/v1/holds", strings.Replace(good, `"qty":1`, `"qty":101`, 1), nil, 422, "qty_over_limit"},
			{http.MethodPost, "/v1/holds", `{"product_id":"unknown","qty":1}`, nil, 404, "product_not_found"},
			{http.MethodPost, "/v1/holds", good, http.Header{"Content-Type": {"text/plain"}}, 415, "unsupported_media_type"},
			{http.MethodPost, "/v1/holds", good, http.Header{"Content-Type": nil}, 415, "unsupported_media_type"},
			{http.MethodPost, "/v1/orders", `{"hold_id":"` + unknown.HoldID() + `"}`, http.Header{"Content-Type": nil}, 415, "unsupported_media_type"},
			{http.MethodPost, "/v1/holds", good, shoptest.KeyHeader("too short"), 422, "invalid_request"},
			{http.MethodPost, "/v1/holds", good + strings.Repeat(" ", 16<<10-len(good)+1), nil, 413, "body_too_large"},
			{http.MethodGet, "/v1/products/UPPER", "", nil, 404, "product_not_found"},
			{http.MethodGet, "/v1/products?limit=0", "", nil, 422, "invalid_request"},
			{http.MethodGet, "/v1/products?limit=&limit=abc", "", nil, 422, "invalid_request"},
			{http.MethodGet, "/v1/products?limti=5", "", nil, 422, "invalid_request"},
			{http.MethodGet, "/v1/holds/" + unknown.HoldID(), "", nil, 404, "hold_not_found"},
			{http.MethodDelete, "/v1/holds/" + unknown.HoldID(), "", nil, 404, "hold_not_found"},
			{http.MethodGet, "/v1/orders/" + unknown.OrderID(), "", nil, 404, "order_not_found"},
			{http.MethodPost, "/v1/orders/" + unknown.OrderID() + "/cancel", "", nil, 404, "order_not_found"},
			{http.MethodPost, "/v1/orders", `{"hold_id":"` + unknown.HoldID() + `"}`, nil, 404, "hold_not_found"},
		} {
			shoptest.CheckProblem(t, s.Do(t, c.method, c.path, c.body, c.header), c.status, c.code)
		}
		capitals := http.Header{"Content-Type": {"Application/JSON; charset=utf-8"}}
		if r := s.Do(t, http.MethodPost, "/v1/holds", good+strings.Repeat(" ", 16<<10-len(good)), capitals); r.Status != http.StatusCreated {
			t.Errorf("a body of exactly 16 KiB: got %+v, expected 201", r)
		}
		if p := s.Stock(t); p.ReservedStock != 1 {
			t.Errorf("%d units are reserved, expected 1", p.ReservedStock)
		}
		s.MustAudit(t)
	})
}

func TestHoldsAndOrders(t *testing.T) {
	t.Parallel()
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 10, shoptest.Options{})
		a := s.PostHold(t, 2, `"a-key-in-quotes-is-the-same"`)
		id, ok := checkout.ParseHoldID(a.Text("id"))
		if a.Status != http.StatusCreated || !ok || !idForm.MatchString(a.Text("id")) || a.Header.Get("Location") != "/v1/holds/"+a.Text("id") ||
			a.Text("status") != "active" || a.Text("order_id") != "" || a.Header.Get("Idempotent-Replayed") != "" {
			t.Errorf("the hold is %+v, expected 201 with a new active hold", a)
		}
		if again := s.PostHold(t, 2, `a-key-in-quotes-is-the-same`); again.Status != 200 || again.Header.Get("Idempotent-Replayed") != "true" || again.Body != a.Body {
			t.Errorf("a request with the same key got %+v, expected 200 with the same body", again)
		}
		shoptest.CheckProblem(t, s.PostHold(t, 3, `a-key-in-quotes-is-the-same`), 422, "idempotency_key_reused")
		created, expires := parseTime(t, a.Text("created_at")), parseTime(t, a.Text("expires_at"))
		if d := expires.Sub(created); d != 2*time.Minute {
			t.Errorf("the hold lasts %s, expected 2 minutes", d)
		}

		first := s.PostOrder(t, id)
		if first.Status != http.StatusCreated || first.Text("id") != id.OrderID() || first.Text("hold_id") != id.HoldID() ||
			first.Header.Get("Location") != "/v1/orders/"+id.OrderID() || first.Text("status") != "pending_payment" || !strings.Contains(first.Body, `"amount":{"amount":9998,"currency":"USD"}`) {
			t.Errorf("the order is %+v, expected 201 with an unpaid order of 99.98 USD", first)
		}
		if d := parseTime(t, first.Text("pay_by")).Sub(parseTime(t, first.Text("created_at"))); d != 15*time.Minute {
			t.Errorf("the order waits %s for its payment, expected 15 minutes", d)
		}
		if again := s.PostOrder(t, id); again.Status != 200 || again.Body != first.Body {
			t.Errorf("a second order of the hold got %+v, expected 200 with the same body", again)
		}
		withReference := func(reference string) shoptest.Response {
			return s.Do(t, http.MethodPost, "/v1/orders", `{"hold_id":"`+id.HoldID()+`","reference":"`+reference+`"}`, nil)
		}
		for _, reference := range []string{"cart 1", "cart 2"} {
			if o := withReference(reference); o.Status != 200 || o.Text("reference") != "cart 1" {
				t.Errorf("the order with reference %s is %+v, expected 200 with the first reference", reference, o)
			}
		}
		if o := s.Do(t, http.MethodGet, "/v1/orders/"+id.OrderID(), "", nil); o.Text("reference") != "cart 1" {
			t.Errorf("the order is %+v, expected its reference", o)
		}
		shoptest.CheckProblem(t, withReference(""), 422, "invalid_request")
		if h := s.Do(t, http.MethodGet, "/v1/holds/"+id.HoldID(), "", nil); h.Text("status") != "ordered" || h.Text("order_id") != id.OrderID() {
			t.Errorf("the hold is %+v, expected ordered with the order's id", h)
		}
		shoptest.CheckProblem(t, s.Do(t, http.MethodDelete, "/v1/holds/"+id.HoldID(), "", nil), 409, "hold_ordered")
		for range 2 {
			if c := s.Do(t, http.MethodPost, "/v1/orders/"+id.OrderID()+"/cancel", "", nil); c.Status != 200 || c.Text("status") != "cancelled" || c.Text("reason") != "customer" {
				t.Errorf("a cancellation got %+v, expected 200 with a cancelled order", c)
			}
		}

		released := s.MustHold(t, 1)
		for range 2 {
			if d := s.Do(t, http.MethodDelete, "/v1/holds/"+released.HoldID(), "", nil); d.Status != 204 || d.Body != "" {
				t.Errorf("a release got %+v, expected 204 without a body", d)
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
	t.Parallel()
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 10, shoptest.Options{HoldTTL: 200 * time.Millisecond})
		id := s.MustHold(t, 1)
		shoptest.Eventually(t, "the hold expires", func() bool {
			return s.Do(t, http.MethodGet, "/v1/holds/"+id.HoldID(), "", nil).Text("status") == "expired"
		})
		shoptest.CheckProblem(t, s.PostOrder(t, id), 410, "hold_expired")
		if d := s.Do(t, http.MethodDelete, "/v1/holds/"+id.HoldID(), "", nil); d.Status != 204 {
			t.Errorf("a release after the expiry got %+v, expected 204", d)
		}
		s.MustAudit(t)
	})
}

func TestUnpaidOrderGivesItsStockBack(t *testing.T) {
	t.Parallel()
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 2, shoptest.Options{PaymentWindow: 200 * time.Millisecond})
		id := s.MustOrder(t, 2)
		shoptest.Eventually(t, "the order is cancelled", func() bool {
			o := s.Do(t, http.MethodGet, "/v1/orders/"+id.OrderID(), "", nil)
			return o.Text("status") == "cancelled" && o.Text("reason") == "payment_timeout"
		})
		// The order's change reaches the stock view a moment after the order's row.
		shoptest.Eventually(t, "the stock is back", func() bool { return s.PostHold(t, 2, "").Status == http.StatusCreated })
		s.MustAudit(t)
	})
}

func TestSaleWindowAndSoldOut(t *testing.T) {
	t.Parallel()
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 2, shoptest.Options{})
		put := func(c checkout.ProductChange) {
			c.ID = s.ProductID
			if _, _, err := s.PutProduct(context.Background(), c); err != nil {
				t.Fatal(err)
			}
		}
		until := func(code string, qty int) (r shoptest.Response) {
			shoptest.Eventually(t, "a hold is refused as "+code, func() bool {
				r = s.PostHold(t, qty, "")
				return r.Code() == code
			})
			shoptest.CheckProblem(t, r, http.StatusConflict, code)
			return r
		}
		later := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
		put(checkout.ProductChange{SaleStartsAt: &checkout.Moment{At: &later}})
		if r := until("sale_not_started", 1); !parseTime(t, r.Text("sale_starts_at")).Equal(later) {
			t.Errorf("sale_starts_at is %s, expected %s", r.Text("sale_starts_at"), later)
		}
		soon := time.Now().Add(time.Second).UTC().Truncate(time.Millisecond)
		put(checkout.ProductChange{SaleStartsAt: &checkout.Moment{At: &soon}})
		var first shoptest.Response
		shoptest.Eventually(t, "the sale starts", func() bool {
			first = s.PostHold(t, 1, "")
			return first.Code() != "sale_not_started"
		})
		id, _ := checkout.ParseHoldID(first.Text("id"))
		if h := shoptest.Must(s.Hold(context.Background(), checkout.Caller{}, id))(t); h.CreatedAt.Before(soon) {
			t.Errorf("the first hold was granted %s before the start of the sale", soon.Sub(h.CreatedAt))
		}
		past := time.Now().Add(-time.Second).UTC()
		put(checkout.ProductChange{SaleStartsAt: &checkout.Moment{}, SaleEndsAt: &checkout.Moment{At: &past}})
		until("sale_ended", 2) // which comes before sold_out
		put(checkout.ProductChange{SaleEndsAt: &checkout.Moment{}})
		if r := until("sold_out", 2); !strings.Contains(r.Body, `"available_stock":1`) {
			t.Errorf("got %s, expected 1 available", r.Body)
		}
	})
}

func TestProducts(t *testing.T) {
	t.Parallel()
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 5, shoptest.Options{})
		path := "/v1/products/" + s.ProductID
		a := s.Do(t, http.MethodGet, path, "", nil)
		etag := a.Header.Get("ETag")
		if a.Status != 200 || etag == "" || a.Header.Get("Cache-Control") != "public, max-age=1" || parseTime(t, a.Text("as_of")).IsZero() {
			t.Errorf("the product is %+v, expected 200 with an ETag, a Cache-Control of one second and as_of", a)
		}
		for _, match := range []string{etag, "*", `"x", ` + etag, strings.TrimPrefix(etag, "W/")} {
			if n := s.Do(t, http.MethodGet, path, "", http.Header{"If-None-Match": {match}}); n.Status != 304 || n.Body != "" || n.Header.Get("ETag") != etag {
				t.Errorf("with If-None-Match %s: got %+v, expected 304 without a body", match, n)
			}
		}
		s.MustHold(t, 1)
		if n := s.Do(t, http.MethodGet, path, "", http.Header{"If-None-Match": {etag}}); n.Status != 200 || n.Header.Get("ETag") == etag || !strings.Contains(n.Body, `"available_stock":4`) {
			t.Errorf("after a change: %+v", n)
		}

		for i := range 4 {
			s.MustPut(t, fmt.Sprintf("a-%d", i), 1)
		}
		want := []string{"a-0", "a-1", "a-2", "a-3", s.ProductID}
		shoptest.Eventually(t, fmt.Sprintf("the pages list %v", want), func() bool { return slices.Equal(listIDs(t, s), want) })
	})
}

// listIDs reads all pages of the list of products.
func listIDs(t *testing.T, s *shoptest.Shop) (ids []string) {
	t.Helper()
	for cursor, pages := "", 0; ; pages++ {
		var page struct {
			Data       []struct{ ID string }
			HasMore    bool    `json:"has_more"`
			NextCursor *string `json:"next_cursor"`
		}
		a := s.Do(t, http.MethodGet, "/v1/products?limit=2&cursor="+cursor, "", nil)
		if err := json.Unmarshal([]byte(a.Body), &page); err != nil || !strings.Contains(a.Body, `"next_cursor":`) {
			t.Fatalf("got %+v, expected a page of products", a)
		}
		for _, p := range page.Data {
			ids = append(ids, p.ID)
		}
		if page.HasMore != (page.NextCursor != nil) || pages > 3 {
			t.Fatalf("got %+v, expected at most 3 pages, and a cursor on each but the last", a)
		}
		if !page.HasMore {
			return ids
		}
		cursor = *page.NextCursor
	}
}
