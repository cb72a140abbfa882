package api_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"flashsale/pkg/checkout"
)

func TestReadProduct(t *testing.T) {
	t.Parallel()
	f := newFake()
	starts := at.Add(1)
	f.product.SaleStartsAt = &starts
	e := newEdge(f)
	w := e.send(t, http.MethodGet, "/v1/products/demo", "", nil)
	for _, text := range []string{
		`"id":"demo"`, `"name":"Demo"`, `"price":{"amount":4999,"currency":"USD"}`, `"stock":10`, `"reserved_stock":3`, `"sold_stock":2`,
		`"available_stock":5`, `"max_qty_per_hold":100`, `"sale_starts_at":"2026-11-27T09:00:00.123Z"`, `"as_of":"2026-11-27T09:00:00.123Z"`,
	} {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("the product is %s, expected it to contain %s", w.Body, text)
		}
	}
	if text := "sale_ends_at"; strings.Contains(w.Body.String(), text) {
		t.Errorf("the product is %s, expected it without %s", w.Body, text)
	}
	wantHeader(t, w, "ETag", `W/"7-3"`)
	wantHeader(t, w, "Cache-Control", "public, max-age=1")
}

func TestIfNoneMatch(t *testing.T) {
	t.Parallel()
	e := newEdge(newFake())
	for match, status := range map[string]int{
		`W/"7-3"`: 304, `"7-3"`: 304, "*": 304, `"x", W/"7-3"`: 304, `W/"6",W/"7-3"`: 304,
		`W/"6"`: 200, `7`: 200, `"77"`: 200, "": 200, `W/"*"`: 200,
	} {
		w := e.send(t, http.MethodGet, "/v1/products/demo", "", http.Header{"If-None-Match": {match}})
		if w.Code != status || (status == 304) != (w.Body.Len() == 0) {
			t.Errorf("If-None-Match %s: got %d %q, expected %d", match, w.Code, w.Body, status)
		}
		wantHeader(t, w, "ETag", `W/"7-3"`)
		wantHeader(t, w, "Cache-Control", "public, max-age=1")
	}
}

func TestListProducts(t *testing.T) {
	t.Parallel()
	f := newFake()
	e := newEdge(f)
	w := e.send(t, http.MethodGet, "/v1/products", "", nil)
	if want := `{"data":[],"has_more":false,"next_cursor":null}`; strings.TrimSpace(w.Body.String()) != want {
		t.Errorf("no products: got %s, expected %s", w.Body, want)
	}
	f.list = []checkout.Product{{ID: "a"}, {ID: "b"}, {ID: "c"}}
	w = e.send(t, http.MethodGet, "/v1/products?limit=2&cursor="+base64.RawURLEncoding.EncodeToString([]byte("0")), "", nil)
	next := base64.RawURLEncoding.EncodeToString([]byte("b"))
	if strings.Contains(w.Body.String(), `"id":"c"`) || !strings.Contains(w.Body.String(), fmt.Sprintf(`"has_more":true,"next_cursor":%q`, next)) {
		t.Errorf("three products, two on a page: got %s, expected a and b, and the cursor %s", w.Body, next)
	}
	wantHeader(t, w, "Cache-Control", "no-store")
	wantCalls(t, e, `list 21 after ""`, `list 3 after "0"`)
}
