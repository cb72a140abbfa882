package api_test

import (
	"net/http"
	"strings"
	"testing"

	"flashsale/pkg/checkout"
)

// No invalid request reaches the ledger.
func TestMalformedHolds(t *testing.T) {
	t.Parallel()
	replace := func(from, to string) string { return strings.Replace(holdBody, from, to, 1) }
	contentType := func(v ...string) http.Header { return http.Header{"Content-Type": v} }
	for name, c := range map[string]struct {
		body   string
		header http.Header
		status int
		code   string
		field  string
	}{
		"empty":                   {"", contentType("application/json"), 400, "malformed_request", ""},
		"not JSON":                {"{", nil, 400, "malformed_request", ""},
		"more behind":             {holdBody + "{}", nil, 400, "malformed_request", ""},
		"an array":                {"[1]", nil, 400, "malformed_request", ""},
		"a string":                {`"x"`, nil, 400, "malformed_request", ""},
		"a number":                {`1`, nil, 400, "malformed_request", ""},
		"null":                    {"null", nil, 400, "malformed_request", ""},
		"bad UTF-8":               {"{\"product_id\":\"\xff\",\"qty\":1}", nil, 400, "malformed_request", ""},
		"deep":                    {strings.Repeat("[", 8000), nil, 400, "malformed_request", ""},
		"deep objects":            {strings.Repeat(`{"a":`, 3000), nil, 400, "malformed_request", ""},
		"no fields":               {"{}", nil, 422, "invalid_request", "qty"},
		"no product":              {`{"qty":1}`, nil, 422, "invalid_request", "product_id"},
		"qty a string":            {replace(`2}`, `"2"}`), nil, 422, "invalid_request", "qty"},
		"qty an object":           {replace(`2}`, `{}}`), nil, 422, "invalid_request", "qty"},
		"qty true":                {replace(`2}`, `true}`), nil, 422, "invalid_request", "qty"},
		"qty a fraction":          {replace(`2}`, `1.5}`), nil, 422, "invalid_request", "qty"},
		"qty with an exponent":    {replace(`2}`, `1e0}`), nil, 422, "invalid_request", "body"},
		"qty null":                {replace(`2}`, `null}`), nil, 422, "invalid_request", "qty"},
		"qty zero":                {replace(`2}`, `0}`), nil, 422, "invalid_request", "qty"},
		"qty negative":            {replace(`2}`, `-1}`), nil, 422, "invalid_request", "qty"},
		"qty over the maximum":    {replace(`2}`, `1000000}`), nil, 422, "invalid_request", "qty"},
		"qty huge":                {replace(`2}`, `99999999999999999999}`), nil, 422, "invalid_request", "qty"},
		"product a number":        {replace(`"demo"`, `1`), nil, 422, "invalid_request", "product_id"},
		"product null":            {replace(`"demo"`, `null`), nil, 422, "invalid_request", "product_id"},
		"product in upper case":   {replace("demo", "DEMO"), nil, 422, "invalid_request", "product_id"},
		"product empty":           {replace("demo", ""), nil, 422, "invalid_request", "product_id"},
		"product with a newline":  {replace("demo", `demo\n`), nil, 422, "invalid_request", "product_id"},
		"product too long":        {replace("demo", strings.Repeat("a", 65)), nil, 422, "invalid_request", "product_id"},
		"unknown field":           {replace(`{`, `{"price":1,`), nil, 422, "invalid_request", "price"},
		"a field in another case": {replace(`"qty"`, `"Qty"`), nil, 422, "invalid_request", "Qty"},
		"form":                    {holdBody, contentType("application/x-www-form-urlencoded"), 415, "unsupported_media_type", ""},
		"text":                    {holdBody, contentType("text/plain; charset=utf-8"), 415, "unsupported_media_type", ""},
		"one byte too many":       {holdBody + strings.Repeat(" ", 16<<10-len(holdBody)+1), nil, 413, "body_too_large", ""},
		"1 MiB":                   {holdBody + strings.Repeat(" ", 1<<20), nil, 413, "body_too_large", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(newFake())
			p := wantProblem(t, e.send(t, http.MethodPost, "/v1/holds", c.body, c.header), c.status, c.code)
			found := c.field == ""
			for _, f := range p.Errors {
				found = found || f.Field == c.field && f.Detail != ""
			}
			if !found {
				t.Errorf("errors are %+v, expected one for %s", p.Errors, c.field)
			}
			wantCalls(t, e)
		})
	}
}

func TestAcceptedBodies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, contentType string }{
		"exactly 16 KiB":         {holdBody + strings.Repeat(" ", 16<<10-len(holdBody)), "application/json"},
		"media type parameters":  {holdBody, "application/json; charset=utf-8"},
		"spaces and new lines":   {"\n " + holdBody + "\n", "application/json"},
		"another order of names": {`{"qty":2,"product_id":"demo"}`, "application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(newFake())
			if w := e.send(t, http.MethodPost, "/v1/holds", c.body, http.Header{"Content-Type": {c.contentType}}); w.Code != http.StatusCreated {
				t.Errorf("got %d %s, expected 201", w.Code, w.Body)
			}
			wantCalls(t, e, "look up demo", "place 2 of demo for 2m0s")
		})
	}
}

func TestRoutesAndIDs(t *testing.T) {
	t.Parallel()
	upper := strings.ToUpper(id.HoldID())
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{http.MethodGet, "/", "", 404, "not_found"},
		{http.MethodGet, "/v1", "", 404, "not_found"},
		{http.MethodGet, "/v1/nothing", "", 404, "not_found"},
		{http.MethodGet, "/v1/holds/", "", 404, "not_found"},
		{http.MethodGet, "/v1//products", "", 404, "not_found"},
		{http.MethodGet, "/v1/./products", "", 404, "not_found"},
		{http.MethodGet, "/v1/holds/../products", "", 404, "not_found"},
		{http.MethodGet, "/v1/products/..", "", 404, "not_found"},
		{http.MethodPost, "//v1/holds", holdBody, 404, "not_found"},
		{http.MethodPost, "/V1/holds", holdBody, 404, "not_found"},
		{http.MethodPut, "/v1/holds", "", 405, "method_not_allowed"},
		{http.MethodDelete, "/v1/orders", "", 405, "method_not_allowed"},
		{http.MethodPut, "/v1/products/x", "{}", 405, "method_not_allowed"},
		{http.MethodPatch, "/v1/orders", "{}", 405, "method_not_allowed"},
		{"BREW", "/v1/orders", "", 405, "method_not_allowed"},
		{http.MethodGet, "/v1/orders/" + id.OrderID() + "/cancel", "", 405, "method_not_allowed"},
		{http.MethodGet, "/v1/payments/webhook", "", 405, "method_not_allowed"},
		{http.MethodGet, "/v1/products/UPPER", "", 404, "product_not_found"},
		{http.MethodGet, "/v1/products/" + strings.Repeat("a", 65), "", 404, "product_not_found"},
		{http.MethodGet, "/v1/products/a%00b", "", 404, "product_not_found"},
		{http.MethodGet, "/v1/holds/" + id.OrderID(), "", 404, "hold_not_found"},
		{http.MethodGet, "/v1/holds/" + upper, "", 404, "hold_not_found"},
		{http.MethodGet, "/v1/holds/hold_" + strings.Repeat("z", 26), "", 404, "hold_not_found"},
		{http.MethodGet, "/v1/holds/" + strings.Repeat("x", 4000), "", 404, "hold_not_found"},
		{http.MethodDelete, "/v1/holds/x", "", 404, "hold_not_found"},
		{http.MethodGet, "/v1/orders/" + id.HoldID(), "", 404, "order_not_found"},
		{http.MethodPost, "/v1/orders/x/cancel", "", 404, "order_not_found"},
		{http.MethodPost, "/v1/orders", `{"hold_id":"` + id.OrderID() + `"}`, 422, "invalid_request"},
		{http.MethodPost, "/v1/orders", `{"hold_id":"` + upper + `"}`, 422, "invalid_request"},
		{http.MethodPost, "/v1/orders", `{"hold_id":"` + strings.Repeat("x", 1000) + `"}`, 422, "invalid_request"},
		{http.MethodPost, "/v1/orders", `{}`, 422, "invalid_request"},
		{http.MethodPost, "/v1/orders", ``, 400, "malformed_request"},
		{http.MethodGet, "/v1/products?limit=0", "", 422, "invalid_request"},
		{http.MethodGet, "/v1/products?limit=101", "", 422, "invalid_request"},
		{http.MethodGet, "/v1/products?limit=-1", "", 422, "invalid_request"},
		{http.MethodGet, "/v1/products?limit=x", "", 422, "invalid_request"},
		{http.MethodGet, "/v1/products?cursor=!", "", 422, "invalid_request"},
		{http.MethodGet, "/v1/products?cursor=VVBQRVI", "", 422, "invalid_request"}, // UPPER
		{http.MethodGet, "/v1/products?cursor=" + strings.Repeat("a", 200), "", 422, "invalid_request"},
	} {
		e := newEdge(newFake())
		w := e.send(t, c.method, c.path, c.body, nil)
		wantProblem(t, w, c.status, c.code)
		if allow := w.Header().Get("Allow"); (c.status == http.StatusMethodNotAllowed) != (allow != "") {
			t.Errorf("%s %s: Allow is %q", c.method, c.path, allow)
		}
		if location := w.Header().Get("Location"); location != "" {
			t.Errorf("%s %s: expected no Location beside a problem, got %q", c.method, c.path, location)
		}
		wantCalls(t, e)
	}
}

// HEAD is served where GET is.
func TestHeadIsServedLikeGet(t *testing.T) {
	t.Parallel()
	e := newEdge(newFake())
	w := e.send(t, http.MethodHead, "/v1/products/demo", "", nil)
	if w.Code != http.StatusOK {
		t.Errorf("got %d, expected 200", w.Code)
	}
	wantHeader(t, w, "ETag", `W/"7-3"`)
}

// Every code that a verifier or the ledger can return has a status.
func TestEveryCodeHasItsStatus(t *testing.T) {
	t.Parallel()
	for _, code := range []checkout.Code{
		checkout.CodeProductNotFound, checkout.CodeHoldNotFound, checkout.CodeOrderNotFound, checkout.CodeSoldOut, checkout.CodeSaleNotStarted,
		checkout.CodeSaleEnded, checkout.CodeQtyOverLimit, checkout.CodeIdempotencyReused, checkout.CodeEventIDReused, checkout.CodeHoldReleased, checkout.CodeHoldExpired,
		checkout.CodeHoldOrdered, checkout.CodeOrderNotCancellable, checkout.CodeInvalidRequest, checkout.CodeSignatureInvalid,
		checkout.CodeTimestampTolerance, checkout.CodeMalformedRequest, checkout.CodeNotFound, checkout.CodeBusy,
	} {
		f := newFake()
		f.err = &checkout.Error{Code: code, Detail: "Refused."}
		if w := newEdge(f).send(t, http.MethodGet, "/v1/holds/"+id.HoldID(), "", nil); w.Code < 400 || w.Code == 500 {
			t.Errorf("%s: got %d %s, expected a status of its own", code, w.Code, w.Body)
		}
	}
}
