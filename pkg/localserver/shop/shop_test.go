package shop

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"flashsale/pkg/payments"
	"flashsale/pkg/signin"
)

// server is a shop whose API has one order, and keeps the webhooks that it gets.
type server struct {
	http.Handler
	signer   *payments.Standard
	webhooks []string // type, amount and payment
}

func newServer(t *testing.T, o Options) *server {
	t.Helper()
	signer, err := payments.NewStandard([]string{"whsec_" + strings.Repeat("c2VjcmV0", 4)})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{signer: signer}
	if o.Sandbox != nil {
		o.Sandbox = signer
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != "ord_01h455vb4pex5vsknk084sn02q" || r.Header.Get("Authorization") != "Bearer adas" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"code":"order_not_found"}`)
			return
		}
		_, _ = io.WriteString(w, `{"amount":{"amount":4999,"currency":"USD"}}`)
	})
	mux.HandleFunc("POST /v1/payments/webhook", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		event, err := s.signer.Event(r.Header, body)
		if err != nil {
			t.Errorf("the webhook got %v, expected a signed event", err)
		}
		s.webhooks = append(s.webhooks, fmt.Sprintf("%s %d %s", event.Type, event.Amount.Amount, event.PaymentID))
		_, _ = io.WriteString(w, `{"result":"applied"}`)
	})
	Register(mux, mux, o)
	s.Handler = mux
	return s
}

// send posts JSON from the shop's own page, unless the header says otherwise.
func (s *server) send(path, body string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for name, value := range map[string]string{"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin", "Authorization": "Bearer adas"} {
		r.Header.Set(name, value)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestSandboxSignsAndDeliversEvents(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string][]string{
		"pay":          {`^payment.succeeded 4999 pay_`},
		"pay_twice":    {`^payment.succeeded 4999 pay_`, `^payment.succeeded 4999 pay_`},
		"wrong_amount": {`^payment.succeeded 5099 pay_`},
		"fail":         {`^payment.failed 0 pay_`},
		"refund":       {`^payment.refunded 0 pay_first$`},
	} {
		s := newServer(t, Options{Sandbox: &payments.Standard{}})
		w := s.send("/shop/sandbox", `{"order_id":"ord_01h455vb4pex5vsknk084sn02q","kind":"`+kind+`","payment_id":"pay_first"}`, nil)
		if w.Code != http.StatusOK || len(s.webhooks) != len(want) {
			t.Errorf("%s: got %d %s and the webhooks %q, expected %d of them", kind, w.Code, w.Body, s.webhooks, len(want))
			continue
		}
		for i, got := range s.webhooks {
			if !regexp.MustCompile(want[i]).MatchString(got) || got != s.webhooks[0] {
				t.Errorf("%s: the webhook got %q, expected %s", kind, got, want[i])
			}
		}
	}
}

func TestSandboxRefuses(t *testing.T) {
	t.Parallel()
	const pay = `{"order_id":"ord_01h455vb4pex5vsknk084sn02q","kind":"pay"}`
	s := newServer(t, Options{Sandbox: &payments.Standard{}})
	for _, c := range []struct {
		name, body string
		header     map[string]string
		status     int
	}{
		{"another site", pay, map[string]string{"Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
		{"another port of this machine", pay, map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:3000"}, http.StatusForbidden},
		{"an old browser on another site", pay, map[string]string{"Sec-Fetch-Site": "", "Origin": "https://evil.example"}, http.StatusForbidden},
		{"a form", pay, map[string]string{"Content-Type": "text/plain"}, http.StatusBadRequest},
		{"another shopper", pay, map[string]string{"Authorization": "Bearer bobs"}, http.StatusNotFound},
		{"another path", `{"order_id":"../products","kind":"pay"}`, nil, http.StatusNotFound},
		{"another kind", `{"order_id":"ord_01h455vb4pex5vsknk084sn02q","kind":"steal"}`, nil, http.StatusUnprocessableEntity},
		{"a refund of nothing", `{"order_id":"ord_01h455vb4pex5vsknk084sn02q","kind":"refund"}`, nil, http.StatusUnprocessableEntity},
		{"an unknown member", `{"order_id":"ord_01h455vb4pex5vsknk084sn02q","kind":"pay","amount":1}`, nil, http.StatusBadRequest},
		{"a long body", `{"order_id":"` + strings.Repeat("x", 5<<10) + `"}`, nil, http.StatusBadRequest},
	} {
		if w := s.send("/shop/sandbox", c.body, c.header); w.Code != c.status || len(s.webhooks) > 0 {
			t.Errorf("%s: got %d %s and %d webhooks, expected %d and none", c.name, w.Code, w.Body, len(s.webhooks), c.status)
		}
	}
}

// Without the development secret and issuer there is neither a sandbox nor a sign-in by name, and the page knows it.
func TestDevelopmentRoutesExistOnlyWithDevelopmentKeys(t *testing.T) {
	t.Parallel()
	issuer, err := signin.NewDevelopment()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o      Options
		status int
	}{
		{Options{SignInNeeded: true}, http.StatusMethodNotAllowed}, // as for any file of the page
		{Options{Issuer: issuer, Sandbox: &payments.Standard{}}, http.StatusOK},
	} {
		s := newServer(t, c.o)
		if w := s.send("/shop/sandbox", `{"order_id":"ord_01h455vb4pex5vsknk084sn02q","kind":"pay"}`, nil); w.Code != c.status {
			t.Errorf("%+v: the sandbox responds with %d, expected %d", c.o, w.Code, c.status)
		}
		if w := s.send("/shop/token", `{"name":" ada "}`, nil); w.Code != c.status || w.Code == http.StatusOK && !strings.Contains(w.Body.String(), `"name":"ada"`) {
			t.Errorf("%+v: the sign-in responds with %d %s, expected %d", c.o, w.Code, w.Body, c.status)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/shop/settings", nil))
		var told settings
		if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil {
			t.Fatal(err)
		}
		if told.Sandbox != (c.o.Sandbox != nil) || told.SignInByName != (c.o.Issuer != nil) || told.SignInNeeded != c.o.SignInNeeded || told.Decimals["JPY"] != 0 || told.Decimals["KWD"] != 3 {
			t.Errorf("%+v: the page is told %+v", c.o, told)
		}
	}
}

func TestSignInByNameRefuses(t *testing.T) {
	t.Parallel()
	issuer, err := signin.NewDevelopment()
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, Options{Issuer: issuer})
	for body, want := range map[string]int{
		`{"name":" "}`: http.StatusUnprocessableEntity,
		`{"name":"` + strings.Repeat("a", maxName+1) + `"}`: http.StatusUnprocessableEntity,
		`{"name":"ada"} {}`: http.StatusBadRequest,
	} {
		if w := s.send("/shop/token", body, nil); w.Code != want {
			t.Errorf("%s: got %d %s, expected %d", body, w.Code, w.Body, want)
		}
	}
	if w := s.send("/shop/token", `{"name":"ada"}`, map[string]string{"Sec-Fetch-Site": "same-site"}); w.Code != http.StatusForbidden {
		t.Errorf("another port of this machine: got %d, expected 403", w.Code)
	}
}

// The page loads only its own files, and its policy forbids anything else.
func TestPageIsSelfContained(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	if w := get("/shop"); w.Code != http.StatusMovedPermanently || w.Header().Get("Location") != "/shop/" {
		t.Errorf("/shop: got %d to %q, expected 301 to /shop/", w.Code, w.Header().Get("Location"))
	}
	w := get("/shop/")
	policy, page := w.Header().Get("Content-Security-Policy"), w.Body.String()
	if w.Code != http.StatusOK || !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("got %d and the policy %q, expected 200 and a policy that allows the page's own files only", w.Code, policy)
	}
	if bad := regexp.MustCompile(`<style|<script>|<[^>]+ (on[a-z]+|style)=`).FindString(page); bad != "" {
		t.Errorf("the page has %q, which its policy forbids", bad)
	}
	for _, file := range regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(page, -1) {
		if w := get("/shop/" + file[1]); w.Code != http.StatusOK {
			t.Errorf("%s: got %d, expected a file of the page", file[1], w.Code)
		}
	}
}
