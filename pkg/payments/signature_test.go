package payments_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"flashsale/pkg/checkout"
)

func TestTimestampToleranceIsFiveMinutesEitherWay(t *testing.T) {
	t.Parallel()
	for _, p := range providers(t) {
		for off, want := range map[time.Duration]checkout.Code{
			0:                              "",
			-5 * time.Minute:               "",
			5 * time.Minute:                "",
			-5*time.Minute - time.Second:   checkout.CodeTimestampTolerance,
			5*time.Minute + time.Second:    checkout.CodeTimestampTolerance,
			-30 * 365 * 24 * time.Hour:     checkout.CodeTimestampTolerance, // to the year 1970 and before
			200 * 365 * 24 * time.Hour:     checkout.CodeTimestampTolerance,
			time.Duration(math.MinInt64):   checkout.CodeTimestampTolerance,
			time.Duration(math.MaxInt64):   checkout.CodeTimestampTolerance,
			-(4*time.Minute + time.Second): "",
		} {
			t.Run(fmt.Sprintf("%s %v", p.name, off), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { // the test's clock starts at a whole second and stands still
					header := p.sign(time.Now().Add(off), []byte(p.body))
					_, err := p.event(header, []byte(p.body))
					wantCode(t, err, want)

					// A wrong signature is signature_invalid, whatever its timestamp.
					_, err = p.event(header, []byte(p.body+" "))
					wantCode(t, err, checkout.CodeSignatureInvalid)
				})
			})
		}
	}
}

func TestAbsurdTimestampIsOutOfTolerance(t *testing.T) {
	t.Parallel()
	for _, p := range providers(t) {
		for _, seconds := range []int64{math.MinInt64, math.MinInt64 + 1, -1, 0, math.MaxInt64 - 62135596800, math.MaxInt64} {
			_, err := p.event(p.sign(time.Unix(seconds, 0), []byte(p.body)), []byte(p.body))
			wantCode(t, err, checkout.CodeTimestampTolerance)
		}
	}
}

func TestTimestampIsSigned(t *testing.T) {
	t.Parallel()
	for _, p := range providers(t) {
		header := p.sign(time.Now().Add(-time.Hour), []byte(p.body))
		p.withTimestamp(header, fmt.Sprint(time.Now().Unix())) // a replay with a fresh timestamp
		_, err := p.event(header, []byte(p.body))
		wantCode(t, err, checkout.CodeSignatureInvalid)
	}
}

func TestBrokenHeadersAreSignatureInvalid(t *testing.T) {
	t.Parallel()
	for _, p := range providers(t) {
		for i, broken := range p.brokenHeaders {
			header := p.sign(time.Now(), []byte(p.body))
			broken(header)
			if _, err := p.event(header, []byte(p.body)); checkout.CodeOf(err) != checkout.CodeSignatureInvalid {
				t.Errorf("%s, case %d: Event returned %v for %v, expected signature_invalid", p.name, i, err, header)
			}
		}
		_, err := p.event(http.Header{}, nil)
		wantCode(t, err, checkout.CodeSignatureInvalid)
	}
}

func TestEverySecretIsTried(t *testing.T) {
	t.Parallel()
	for _, p := range providers(t) {
		body := []byte(p.body)
		byOld := p.make(t, p.secret).sign(time.Now(), body)
		byNew := p.make(t, p.other).sign(time.Now(), body)
		byBoth := byOld.Clone()
		if p.name == checkout.ProviderStandard {
			byBoth.Set(p.signature, byNew.Get(p.signature)+" "+byOld.Get(p.signature))
		} else {
			_, old, _ := strings.Cut(byOld.Get(p.signature), ",")
			byBoth.Set(p.signature, byNew.Get(p.signature)+","+old)
		}
		for _, tc := range []struct {
			name    string
			secrets []string
			header  http.Header
			want    checkout.Code
		}{
			{"the new secret, both valid", []string{p.other, p.secret}, byNew, ""},
			{"the old secret, both valid", []string{p.other, p.secret}, byOld, ""},
			{"the retired secret", []string{p.other}, byOld, checkout.CodeSignatureInvalid},
			{"a secret not yet known", []string{p.secret}, byNew, checkout.CodeSignatureInvalid},
			{"both secrets, the old one known", []string{p.secret}, byBoth, ""},
			{"both secrets, the new one known", []string{p.other}, byBoth, ""},
		} {
			_, err := p.make(t, tc.secrets...).event(tc.header, body)
			if checkout.CodeOf(err) != tc.want {
				t.Errorf("%s, signed with %s: Event returned %v, expected code %q", p.name, tc.name, err, tc.want)
			}
		}
		if diff := cmp.Diff(p.make(t, p.other, p.secret).sign(time.Unix(1, 0), body), p.make(t, p.other).sign(time.Unix(1, 0), body)); diff != "" {
			t.Errorf("%s: Sign does not use the first secret (-first of two +first):\n%s", p.name, diff)
		}
	}
}

func TestUnusableSecretIsNamedByItsPosition(t *testing.T) {
	t.Parallel()
	bad := map[string][]string{
		checkout.ProviderStandard: {"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2Lasecret", "whsec_c2VjcmV0", "whsec_not base64 but secret", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
		checkout.ProviderStripe:   {"", "whsec_", "sk_live_secretsecretsecret", "whsec_secretsecret secretsecret", "whsec_secretsecretsecretsecrét"},
	}
	for _, p := range providers(t) {
		if err := p.tryMake(nil); err == nil {
			t.Errorf("%s accepts an empty list of secrets, expected an error", p.name)
		}
		for _, secret := range bad[p.name] {
			err := p.tryMake([]string{p.secret, secret, p.other})
			if err == nil {
				t.Errorf("%s accepts the secret %q, expected an error", p.name, secret)
				continue
			}
			rest := strings.TrimPrefix(secret, "whsec_")
			if !strings.Contains(err.Error(), "secret 2 of 3") || (rest != "" && strings.Contains(err.Error(), rest)) {
				t.Errorf("%s: %v", p.name, err)
			}
		}
		if err := p.tryMake([]string{" " + p.secret + "\n"}); err != nil {
			t.Errorf("%s refuses a secret with white space around it: %v", p.name, err)
		}
	}
}

// Errors are logged, so they must not reveal a secret, a signature or a purchase.
func TestErrorsRevealNoSecrets(t *testing.T) {
	t.Parallel()
	for _, p := range providers(t) {
		const private = "zzprivatezz"
		body := []byte(strings.Replace(p.body, `"type":"`, `"x":"`+private+`","type":"`+private+strings.Repeat("y", 255), 1))
		now, old := p.sign(time.Now(), body), p.sign(time.Now().Add(-time.Hour), body)
		garbled := p.sign(time.Now(), body)
		p.withTimestamp(garbled, private)
		broken := []byte(private)
		for _, delivery := range []struct {
			header http.Header
			body   []byte
		}{{now, body}, {old, body}, {now, broken}, {garbled, body}, {p.sign(time.Now(), broken), broken}} {
			_, err := p.event(delivery.header, delivery.body)
			if err == nil {
				t.Fatal("Event accepts the delivery, expected a refusal")
			}
			signature := delivery.header.Get(p.signature)
			var refusal *checkout.Error
			if !errors.As(err, &refusal) {
				t.Fatalf("Event returned %v, expected a checkout.Error", err)
			}
			said := fmt.Sprintf("%v %+v", err, refusal)
			for _, secret := range []string{private, p.secret[6:], signature[len(signature)-12:]} {
				if strings.Contains(said, secret) {
					t.Errorf("%s: %q appears in the error %s", p.name, secret, said)
				}
			}
		}
	}
}

func TestSecretsMayBeUsedConcurrently(t *testing.T) {
	t.Parallel()
	for _, p := range providers(t) {
		done := make(chan error)
		for range 8 {
			go func() {
				_, err := p.event(p.sign(time.Now(), []byte(p.body)), []byte(p.body))
				done <- err
			}()
		}
		for range 8 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
}
