package awstest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	region    = "eu-west-1"
	algorithm = "AWS4-HMAC-SHA256"
	// tokenLife is the longest lifetime that RDS and ElastiCache accept.
	tokenLife = 15 * time.Minute
	clockSkew = 5 * time.Minute
	timeForm  = "20060102T150405Z"
)

// Account is an AWS account. It issues temporary credentials of a role, as a function has them, and verifies signatures.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
type Account struct {
	mu      sync.Mutex
	issued  map[string]aws.Credentials // by access key id
	current aws.Credentials
	ahead   time.Duration
}

// NewAccount returns an account that has issued its first credentials.
func NewAccount() *Account {
	a := &Account{issued: map[string]aws.Credentials{}}
	a.Rotate()
	return a
}

// Rotate issues new credentials, as Lambda does every few hours for a new process. The old ones stay valid.
func (a *Account) Rotate() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.current = aws.Credentials{
		AccessKeyID: "ASIA" + strings.ToUpper(hex.EncodeToString(random(8))), SecretAccessKey: base64.StdEncoding.EncodeToString(random(30)),
		SessionToken: base64.StdEncoding.EncodeToString(random(700)), // about as long as Lambda's
	}
	a.issued[a.current.AccessKeyID] = a.current
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// Advance moves the account's clock ahead of this machine's, so that signatures made now look older.
func (a *Account) Advance(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ahead += d
}

// Current returns the newest credentials.
func (a *Account) Current() aws.Credentials {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current
}

// Config returns a function's AWS configuration, which reads the current credentials at each use.
func (a *Account) Config() aws.Config {
	return aws.Config{Region: region, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return a.Current(), nil
	})}
}

// Env returns the variables that Lambda sets for a function.
func (a *Account) Env() []string {
	c := a.Current()
	return []string{
		"AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=" + c.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + c.SecretAccessKey, "AWS_SESSION_TOKEN=" + c.SessionToken,
	}
}

// Secrets returns words that must appear in no log and no error: all credentials, and parts of tokens.
func (a *Account) Secrets() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	words := []string{"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token"}
	for id, c := range a.issued {
		words = append(words, id, c.SecretAccessKey, url.QueryEscape(c.SecretAccessKey), c.SessionToken[:40], url.QueryEscape(c.SessionToken)[:40])
	}
	return words
}

// verifyToken checks a token, which is a presigned GET without its scheme. It must be for this service and host, and have
// exactly the parameters in want besides those of the signature. It returns the id of the signing key.
func (a *Account) verifyToken(token, service, host string, want map[string]string) (string, error) {
	u, err := url.Parse("https://" + token)
	if err != nil || u.Host != host || strings.Trim(u.Path, "/") != "" {
		return "", errors.New("not a token for " + host)
	}
	query, signature := u.Query(), u.Query().Get("X-Amz-Signature")
	query.Del("X-Amz-Signature")
	key, scope, err := a.credential(query.Get("X-Amz-Credential"), service)
	if err != nil {
		return "", err
	}
	expected := url.Values{
		"X-Amz-Algorithm": {algorithm}, "X-Amz-Credential": {key.AccessKeyID + "/" + scope}, "X-Amz-Date": {query.Get("X-Amz-Date")},
		"X-Amz-Expires": {"900"}, "X-Amz-SignedHeaders": {"host"}, "X-Amz-Security-Token": {key.SessionToken},
	}
	for name, value := range want {
		expected.Set(name, value)
	}
	if !maps.EqualFunc(expected, query, slices.Equal) {
		return "", fmt.Errorf("expected the parameters %v, got %v", slices.Sorted(maps.Keys(expected)), slices.Sorted(maps.Keys(query)))
	}
	canonical := strings.Join([]string{
		http.MethodGet, "/", strings.ReplaceAll(query.Encode(), "+", "%20"), "host:" + host, "", "host", digest(nil),
	}, "\n")
	if !hmac.Equal([]byte(signature), []byte(sign(key.SecretAccessKey, scope, query.Get("X-Amz-Date"), canonical))) {
		return "", errors.New("the signature is wrong")
	}
	return key.AccessKeyID, a.fresh(query.Get("X-Amz-Date"), scope, tokenLife)
}

// verifyRequest checks the signature in a request's Authorization header, and returns the body.
func (a *Account) verifyRequest(r *http.Request, service string) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	fields := map[string]string{}
	authorization, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm+" ")
	for field := range strings.SplitSeq(authorization, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	key, scope, err := a.credential(fields["Credential"], service)
	if !ok || err != nil {
		return nil, errors.Join(errors.New("not signed"), err)
	}
	headers := strings.Split(fields["SignedHeaders"], ";")
	var lines []string
	for _, name := range headers {
		value := strings.Join(r.Header.Values(name), ",")
		switch name { // net/http removes these from the header
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		lines = append(lines, name+":"+strings.TrimSpace(value))
	}
	for _, name := range []string{"host", "x-amz-date", "x-amz-target", "x-amz-security-token"} {
		if !slices.Contains(headers, name) {
			return nil, errors.New(name + " is not signed")
		}
	}
	canonical := strings.Join([]string{
		r.Method, r.URL.EscapedPath(), "", strings.Join(lines, "\n"), "", fields["SignedHeaders"], digest(body),
	}, "\n")
	date := r.Header.Get("X-Amz-Date")
	if !hmac.Equal([]byte(fields["Signature"]), []byte(sign(key.SecretAccessKey, scope, date, canonical))) {
		return nil, errors.New("the signature is wrong")
	}
	if r.Header.Get("X-Amz-Security-Token") != key.SessionToken {
		return nil, errors.New("the session token is wrong")
	}
	return body, a.fresh(date, scope, clockSkew)
}

// credential parses "key id/date/region/service/aws4_request". It returns the key, and the rest as the scope.
func (a *Account) credential(text, service string) (aws.Credentials, string, error) {
	id, scope, _ := strings.Cut(text, "/")
	a.mu.Lock()
	key, ok := a.issued[id]
	a.mu.Unlock()
	if !ok {
		return aws.Credentials{}, "", errors.New("unknown key")
	}
	if date, rest, _ := strings.Cut(scope, "/"); len(date) != len("20060102") || rest != region+"/"+service+"/aws4_request" {
		return aws.Credentials{}, "", fmt.Errorf("signed for %s", scope)
	}
	return key, scope, nil
}

// fresh checks the age of a signature by the account's clock.
func (a *Account) fresh(date, scope string, life time.Duration) error {
	at, err := time.Parse(timeForm, date)
	if err != nil || !strings.HasPrefix(scope, date[:8]) {
		return errors.New("the time is wrong")
	}
	a.mu.Lock()
	age := time.Since(at) + a.ahead
	a.mu.Unlock()
	if age < -clockSkew || age >= life {
		return fmt.Errorf("signed %s ago", age.Round(time.Second))
	}
	return nil
}

// sign computes a signature.
func sign(secret, scope, date, canonical string) string {
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, strings.Join([]string{algorithm, date, scope, digest([]byte(canonical))}, "\n")))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
