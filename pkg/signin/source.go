package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// Source reads a JSON Web Key Set.
type Source func(ctx context.Context) ([]byte, error)

// maxDocument limits a document of an issuer, in bytes.
const maxDocument = 1 << 20

// Locate returns the source of an issuer's keys: the URL or the file jwks, or if that is empty, the URL in the issuer's OpenID
// discovery document. A nil transport is http.DefaultTransport.
func Locate(issuer, jwks string, transport http.RoundTripper) Source {
	client := &http.Client{Transport: transport, Timeout: readTimeout, CheckRedirect: staySecure}
	return func(ctx context.Context) ([]byte, error) {
		switch {
		case jwks == "":
			return discover(ctx, client, issuer)
		case IsFile(jwks):
			return os.ReadFile(jwks) //nolint:gosec // G304: the operator's own file
		}
		return get(ctx, client, jwks)
	}
}

// IsFile reports whether jwks, as given to Locate, names a file.
func IsFile(jwks string) bool { return jwks != "" && !isURL(jwks) }

func isURL(text string) bool {
	return strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://")
}

// discover follows OpenID Connect Discovery 1.0, section 4. A document of another issuer is refused.
func discover(ctx context.Context, client *http.Client, issuer string) ([]byte, error) {
	text, err := get(ctx, client, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, err
	}
	var document struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("the discovery document of %s is not JSON: %w", issuer, err)
	}
	if document.Issuer != issuer {
		return nil, fmt.Errorf("the discovery document is of the issuer %.100q, expected %q", document.Issuer, issuer)
	}
	secure := strings.HasPrefix(issuer, "https:")
	if !isURL(document.JWKS) || secure && !strings.HasPrefix(document.JWKS, "https:") {
		return nil, fmt.Errorf("the discovery document has the jwks_uri %.100q, expected a URL as secure as %s", document.JWKS, issuer)
	}
	return get(ctx, client, document.JWKS)
}

func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s responded with %d, expected 200", address, response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err == nil && len(text) > maxDocument {
		err = errors.New("the document is larger than 1 MiB")
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", address, err)
	}
	return text, nil
}

// staySecure follows a few redirects, but not from https to http.
func staySecure(to *http.Request, via []*http.Request) error {
	if len(via) > 3 {
		return errors.New("more than 3 redirects")
	}
	if via[0].URL.Scheme == "https" && to.URL.Scheme != "https" {
		return errors.New("redirected from https to " + to.URL.Scheme)
	}
	return nil
}
