package awstest

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The labels of a secret's two latest versions.
const (
	Current  = "AWSCURRENT"
	Previous = "AWSPREVIOUS"
)

// SecretsManager hands out what the test has put into it.
type SecretsManager struct {
	URL string // for AWS_ENDPOINT_URL_SECRETS_MANAGER

	account *Account

	mu       sync.Mutex
	values   map[[2]string]string // by ARN and label
	denied   map[string]bool
	reads    []string
	refusals []string
}

// StartSecretsManager starts one until the test ends.
func StartSecretsManager(tb testing.TB, account *Account, authority *Authority) *SecretsManager {
	tb.Helper()
	s := &SecretsManager{account: account, values: map[[2]string]string{}, denied: map[string]bool{}}
	shown, err := authority.server()
	if err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewUnstartedServer(s)
	server.TLS = shown
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it are some tests' purpose
	server.StartTLS()
	s.URL = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	tb.Cleanup(server.Close)
	return s
}

// Put gives a secret a new version, as PutSecretValue does: what was current becomes the previous one.
func (s *SecretsManager) Put(arn, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.values[[2]string{arn, Current}]; ok {
		s.values[[2]string{arn, Previous}] = old
	}
	s.values[[2]string{arn, Current}] = value
}

// Deny has requests for a secret refused, as without a policy for it.
func (s *SecretsManager) Deny(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[arn] = true
}

// Reads are the labels that were asked for, in their order.
func (s *SecretsManager) Reads() []string {
	return locked(&s.mu, func() []string { return slices.Clone(s.reads) })
}

// Refusals are the reasons for which requests were refused before they were looked at.
func (s *SecretsManager) Refusals() []string {
	return locked(&s.mu, func() []string { return slices.Clone(s.refusals) })
}

// ServeHTTP answers GetSecretValue.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
func (s *SecretsManager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := s.account.verifyRequest(r, "secretsmanager")
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.refusals = append(s.refusals, err.Error())
		refuseRequest(w, "InvalidSignatureException", "The request signature does not match.")
		return
	}
	var in struct{ SecretId, VersionStage string } //nolint:revive // the service's own names
	if err := json.Unmarshal(body, &in); err != nil || r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" {
		refuseRequest(w, "InvalidRequestException", "Not GetSecretValue.")
		return
	}
	s.reads = append(s.reads, in.VersionStage)
	value, ok := s.values[[2]string{in.SecretId, in.VersionStage}]
	switch {
	case s.denied[in.SecretId]:
		refuseRequest(w, "AccessDeniedException", "No identity-based policy allows the secretsmanager:GetSecretValue action.")
	case !ok:
		refuseRequest(w, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: "+in.VersionStage)
	default:
		answerRequest(w, http.StatusOK, map[string]any{"ARN": in.SecretId, "SecretString": value, "VersionStages": []string{in.VersionStage}})
	}
}

func refuseRequest(w http.ResponseWriter, kind, message string) {
	answerRequest(w, http.StatusBadRequest, map[string]any{"__type": kind, "Message": message})
}

func answerRequest(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone if this fails
}
