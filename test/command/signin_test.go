package command

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flashsale/internal/shoptest"
	"flashsale/pkg/signin"
)

// bearer is the header with a token.
func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// The README's steps with a token: first beside anonymous shoppers, then with a separate issuer in the same directory.
func TestShoppersSignIn(t *testing.T) {
	t.Parallel()
	d := startRun(t)
	s := d.shop
	code, stdout, stderr := d.Run(t, "token", "ada", "--ttl", "5m")
	token := strings.TrimSpace(stdout)
	if code != 0 || stdout != token+"\n" || strings.Count(token, ".") != 2 || stderr != "" {
		t.Fatalf("token ada: exit %d, expected 0 and only a token, got %q and %q", code, stdout, stderr)
	}
	key := filepath.Join(d.Dir, ".local", "signin-key.pem")
	if info := shoptest.Must(os.Stat(key))(t); info.Mode() != 0o600 {
		t.Errorf("the key has the mode %s, expected that only its owner reads it", info.Mode())
	}
	for _, name := range shoptest.Must(os.ReadDir(filepath.Dir(key)))(t) {
		if strings.HasPrefix(name.Name(), "signin-key-") {
			t.Errorf("%s is left, expected only the key", name.Name())
		}
	}
	hold := s.Do(t, http.MethodPost, "/v1/holds", s.HoldBody(1), bearer(token))
	_, again, _ := d.Run(t, "token", "ada")
	if list := s.Do(t, http.MethodGet, "/v1/holds", "", bearer(strings.TrimSpace(again))); hold.Status != http.StatusCreated || !strings.Contains(list.Body, hold.Text("id")) {
		t.Errorf("ada's holds with another token: got %+v, expected %+v", list, hold)
	}
	paysOwnOrder(t, d, bearer(token))
	s.MustHold(t, 1) // of an anonymous shopper
	shoptest.CheckProblem(t, s.Do(t, http.MethodGet, "/v1/holds/"+hold.Text("id"), "", nil), http.StatusNotFound, "hold_not_found")
	shoptest.CheckProblem(t, s.Do(t, http.MethodPost, "/v1/holds", s.HoldBody(1), bearer(token+"x")), http.StatusUnauthorized, "unauthenticated")
	d.stop(t, 5)

	issuer := shoptest.Must(signin.NewDevelopment())(t)
	keys := filepath.Join(d.Dir, "jwks.json")
	d.Env = append(d.Env, "JWT_ISSUER="+signin.DevelopmentIssuer, "JWT_AUDIENCE="+signin.DevelopmentAudience, "JWT_JWKS="+keys)
	if code, _, stderr := d.Run(t, "run"); code != 2 || !strings.Contains(stderr, "JWT_JWKS") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("run without the file of JWT_JWKS: exit %d, expected 2 and one line, got %s", code, stderr)
	}
	if err := os.WriteFile(keys, shoptest.Must(issuer.Keys(context.Background()))(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := d.Run(t, "token", "ada"); code != 1 || stdout != "" || !strings.Contains(stderr, "JWT_ISSUER") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("token with JWT_ISSUER: exit %d, expected 1 and one line, got %s%s", code, stdout, stderr)
	}
	d.serve(t)
	shoptest.CheckProblem(t, s.PostHold(t, 1, ""), http.StatusUnauthorized, "unauthenticated")
	shoptest.CheckProblem(t, s.Do(t, http.MethodPost, "/v1/holds", s.HoldBody(1), bearer(token)), http.StatusUnauthorized, "unauthenticated")
	paysOwnOrder(t, d, bearer(shoptest.Must(issuer.Token("ada", time.Hour))(t)))
	d.stop(t, 3)
}

// paysOwnOrder buys a unit as a signed-in shopper. The event's amount comes from the ledger: the server shows the order to its
// shopper alone.
func paysOwnOrder(t *testing.T, d *running, token http.Header) {
	t.Helper()
	hold := d.shop.Do(t, http.MethodPost, "/v1/holds", d.shop.HoldBody(1), token)
	order := d.shop.Do(t, http.MethodPost, "/v1/orders", `{"hold_id":"`+hold.Text("id")+`"}`, token)
	if code, stdout, stderr := d.Run(t, "webhook", "send", "--type", "payment.succeeded", "--order", order.Text("id")); code != 0 || !strings.Contains(stdout, `"paid"`) {
		t.Errorf("webhook send: exit %d, expected 0 and a paid order, got %s%s", code, stdout, stderr)
	}
	if r := d.shop.Do(t, http.MethodGet, "/v1/orders/"+order.Text("id"), "", token); r.Text("status") != "paid" {
		t.Errorf("the order is %+v, expected it paid", r)
	}
}

// Webhooks must be taken while the issuer is down, so the server starts without its keys.
func TestRunStartsWhileTheIssuerIsDown(t *testing.T) {
	t.Parallel()
	r := &running{Desk: shoptest.NewDesk(t), addr: shoptest.FreeAddr(t)}
	r.Env = append(r.Env, "ADDR="+r.addr, "JWT_ISSUER=http://"+shoptest.FreeAddr(t), "JWT_AUDIENCE=shop")
	r.shop = &shoptest.Shop{URL: "http://" + r.addr, ProductID: "demo", Client: http.DefaultClient}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	r.serve(t)
	token := shoptest.Must(shoptest.Must(signin.NewDevelopment())(t).Token("ada", time.Hour))(t)
	busy := r.shop.Do(t, http.MethodPost, "/v1/holds", r.shop.HoldBody(1), bearer(token))
	shoptest.CheckProblem(t, busy, http.StatusServiceUnavailable, "busy")
	if product := r.shop.Do(t, http.MethodGet, "/v1/products/demo", "", nil); product.Status != http.StatusOK {
		t.Errorf("the product: got %+v, expected 200", product)
	}
	r.stop(t, 2)
	if log := string(shoptest.Must(os.ReadFile(filepath.Join(r.Dir, "run.log")))(t)); !strings.Contains(log, "shoppers cannot sign in") {
		t.Errorf("the log is %s, expected that it says why shoppers cannot sign in", log)
	}
}

// A limit per shopper needs sign-in. Where shoppers cannot sign in, the command says so, in one line and once the limit is set.
func TestLimitWithoutSignInIsWarnedAbout(t *testing.T) {
	t.Parallel()
	onServersAndStack(t, func(t *testing.T, r robbery) {
		limit := []string{"product", "put", r.ProductID, "--max-per-shopper", "2"}
		text, _ := r.run(t, 0, limit...)
		r.contains(t, text, "at most 2 per shopper", "flashsale: warning: ", "get 401 for holds of "+r.ProductID)
		for name, args := range map[string][]string{"another change": {"--stock", "2001"}, "no limit": {"--max-per-shopper", "none"}} {
			if text := first(r.run(t, 0, append([]string{"product", "put", r.ProductID}, args...)...)); strings.Contains(text, "warning") {
				t.Errorf("%s: expected no warning, got %s", name, text)
			}
		}
		if r.stack != nil {
			r.stack[1] = "shop-signin"
		} else {
			r.Desk.Env = append(r.Desk.Env, "JWT_ISSUER=https://shop.example.com", "JWT_AUDIENCE=shop")
		}
		if text := first(r.run(t, 0, limit...)); strings.Contains(text, "warning") {
			t.Errorf("with sign-in: expected no warning, got %s", text)
		}
	})
}
