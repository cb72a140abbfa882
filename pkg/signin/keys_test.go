package signin_test

import (
	"bytes"
	"crypto"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"flashsale/pkg/checkout"
	"flashsale/pkg/signin"
)

// rotated is a token of the key that the provider has after a rotation.
func rotated() string {
	return token{key: ecOther(), header: jwt.MapClaims{"kid": "new"}}.sign()
}

func TestKeysRotateWithoutARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProvider()
		v := p.verifier(io.Discard)
		old := token{}.sign()
		wantAda(t, v, "a token of the first key", old)
		p.change(func() { p.keys["new"] = ecOther().Public() })
		time.Sleep(11 * time.Second)
		wantAda(t, v, "a token of the second key", rotated())
		wantAda(t, v, "a token of the first key, which is still published", old)
		if n := p.readCount(); n != 2 {
			t.Errorf("the keys were read %d times, expected 2", n)
		}
		// A key that is no longer published is refused after 5 minutes, although no token names an unknown one.
		p.change(func() { delete(p.keys, "ec") })
		time.Sleep(5*time.Minute + time.Second)
		wantAda(t, v, "the request that starts the read, and does not wait for it", old)
		synctest.Wait()
		wantRefused(t, v, "a token of a key that was removed", "Bearer "+old)
		wantAda(t, v, "a token of the key that stayed", rotated())
	})
}

func TestInventedKeyIdsReadTheKeysOncePerPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProvider()
		v := p.verifier(io.Discard)
		good := token{}.sign()
		wantAda(t, v, "a token", good)
		for range 60 { // a minute
			var flood sync.WaitGroup
			for _, id := range []string{"a", "b", "c", "d"} {
				flood.Go(func() { wantRefused(t, v, "an invented kid", "Bearer "+token{header: jwt.MapClaims{"kid": id}}.sign()) })
			}
			flood.Wait()
			wantAda(t, v, "a token beside them", good)
			time.Sleep(time.Second)
		}
		if n := p.readCount(); n < 2 || n > 7 {
			t.Errorf("the keys were read %d times in a minute, expected at most 7", n)
		}
		before := p.readCount()
		time.Sleep(time.Minute)
		for range 100 {
			wantRefused(t, v, "a token without a usable algorithm", "Bearer "+token{method: jwt.SigningMethodHS256, key: []byte("x"), header: jwt.MapClaims{"kid": "z"}}.sign())
		}
		if n := p.readCount() - before; n != 0 {
			t.Errorf("the keys were read %d times for HS256, expected never", n)
		}
	})
}

func TestKnownKeysStayWhileTheProviderIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p := newProvider()
		v := p.verifier(&log)
		wantAda(t, v, "a token", token{}.sign())
		p.change(func() { p.down = true })
		for range 30 { // minutes
			time.Sleep(time.Minute)
			wantAda(t, v, "a token while the provider is down", token{}.sign())
			synctest.Wait()
		}
		wantRefused(t, v, "an unknown kid while the provider is down", "Bearer "+rotated())
		if text := log.String(); !strings.Contains(text, `"level":"WARN"`) || strings.Contains(text, `"level":"ERROR"`) || strings.Count(text, "\n") > 31 {
			t.Errorf("the log is %s, expected a warning for each read", text)
		}
		p.change(func() { p.down, p.keys["new"] = false, ecOther().Public() })
		time.Sleep(11 * time.Second)
		wantAda(t, v, "a new key when the provider is back", rotated())

		// A key set without a usable key is as good as none.
		p.change(func() { p.documents[keysAt] = `{"keys":[]}` })
		time.Sleep(6 * time.Minute)
		wantAda(t, v, "a token that starts a read", rotated())
		synctest.Wait()
		wantAda(t, v, "a token after an empty key set", rotated())
	})
}

// The shop opens without its identity provider. It says that it is busy, because the token may be good.
func TestWithoutAnyKeySignInIsBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProvider()
		p.down = true
		v := p.verifier(io.Discard)
		for range 10 {
			if _, err := send(t, v, "Bearer "+token{}.sign()); checkout.CodeOf(err) != checkout.CodeBusy {
				t.Errorf("got %v, expected busy", err)
			}
		}
		wantRefused(t, v, "garbage", "Bearer garbage")
		wantRefused(t, v, "no token")
		p.change(func() { p.down = false })
		time.Sleep(2 * time.Second)
		wantAda(t, v, "a token when the provider is up", token{}.sign())
	})
}

func TestReadsAFileAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "jwks.json")
	write := func(keys map[string]crypto.PublicKey) {
		if err := os.WriteFile(path, []byte(keySet(keys)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		v := signin.NewVerifier(issuer, audience, signin.NewKeys(signin.Locate(issuer, path, nil), slog.New(slog.DiscardHandler)), true)
		write(map[string]crypto.PublicKey{"ec": ecKey().Public()})
		wantAda(t, v, "a token", token{}.sign())
		wantRefused(t, v, "a token of the next key", "Bearer "+rotated())
		write(map[string]crypto.PublicKey{"new": ecOther().Public()})
		time.Sleep(11 * time.Second)
		wantAda(t, v, "a token of the next key", rotated())
		wantRefused(t, v, "a token of the key that the file had", "Bearer "+token{}.sign())
	})
}

func TestRejectsUnusableSources(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		documents map[string]string
		jwks      string
		want      string
	}{
		"another issuer's document": {map[string]string{discoveryAt: `{"issuer":"https://id.example.com/shop","jwks_uri":"` + keysAt + `"}`}, "", "expected \"" + issuer},
		"a document without keys":   {map[string]string{discoveryAt: `{"issuer":"` + issuer + `"}`}, "", "jwks_uri"},
		"keys without TLS":          {map[string]string{discoveryAt: `{"issuer":"` + issuer + `","jwks_uri":"http://keys.example.com/jwks"}`}, "", "as secure as"},
		"a document that is HTML":   {map[string]string{discoveryAt: "<html>"}, "", "not JSON"},
		"keys that are HTML":        {map[string]string{keysAt: "<html>"}, "", "expected a JSON Web Key Set"},
		"an empty set":              {map[string]string{keysAt: `{"keys":[]}`}, "", "none of 0 keys"},
		"only a secret key":         {map[string]string{keysAt: `{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}`}, "", "none of 1 keys"},
		"only keys to encrypt":      {map[string]string{keysAt: strings.ReplaceAll(keySet(map[string]crypto.PublicKey{"ec": ecKey().Public()}), `"sig"`, `"enc"`)}, "", "none of 3 keys"},
		"a megabyte and more":       {map[string]string{keysAt: strings.Repeat(" ", 1<<20+1)}, "", "larger than 1 MiB"},
		"an unknown address":        {nil, "https://keys.example.com/nothing", "404"},
		"an unknown file":           {nil, "/nowhere/jwks.json", "no such file"},
	} {
		p := newProvider()
		for address, text := range c.documents {
			p.documents[address] = text
		}
		err := signin.NewKeys(signin.Locate(issuer, c.jwks, p), slog.New(slog.DiscardHandler)).Load(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, expected an error with %q", what, err, c.want)
		}
	}
	if err := signin.NewKeys(signin.Locate(issuer, "", newProvider()), slog.New(slog.DiscardHandler)).Load(t.Context()); err != nil {
		t.Errorf("the provider's keys: got %v, expected no error", err)
	}
}

// A redirect may not take a read out of TLS.
func TestRedirectsStaySecure(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{"http://keys.example.com/jwks": "redirected from https to http", "https://id.example.com/loop": "more than 3 redirects"} {
		transport := roundTrip(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {to}}, Body: http.NoBody, Request: r}
		})
		err := signin.NewKeys(signin.Locate(issuer, keysAt, transport), slog.New(slog.DiscardHandler)).Load(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a redirect to %s: got %v, expected an error with %q", to, err, want)
		}
	}
}

type roundTrip func(r *http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }
