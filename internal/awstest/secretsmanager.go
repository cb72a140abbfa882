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

// Labels of a secret's two latest versions.
const (
	Current  = "AWSCURRENT"
	Previous = "AWSPREVIOUS"
)

// SecretsManager stands in for Secrets Manager, with the secrets that the test puts into it.
type SecretsManager struct {
	URL string // for AWS_ENDPOINT_URL_SECRETS_MANAGER

	account *Account

	mu       sync.Mutex
	values   map[[2]string]string // by ARN and label
	denied   map[string]bool
	reads    []string
	refusals []string
}

// StartSecretsManager starts a stand-in that runs until the test ends.
func StartSecretsManager(tb testing.TB, account *Account, authority *Authority) *SecretsManager {
	tb.Helper()
	s := &SecretsManager{account: account, values: map[[2]string]string{}, denied: map[string]bool{}}
	shown, err := authority.server()
	if err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewUnstartedServer(s)
	server.TLS = shown
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // some tests connect with clients that do not trust it
	server.StartTLS()
	s.URL = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	tb.Cleanup(server.Close)
	return s
}

// Put adds a version of a secret, as PutSecretValue does. The current version becomes the previous one.
func (s *SecretsManager) Put(arn, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.values[[2]string{arn, Current}]; ok {
		s.values[[2]string{arn, Previous}] = old
	}
	s.values[[2]string{arn, Current}] = value
}

// Deny refuses requests for a secret, as IAM does without a policy for it.
func (s *SecretsManager) Deny(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[arn] = true
}

// Reads returns the requested labels, in order.
func (s *SecretsManager) Reads() []string {
	return locked(&s.mu, func() []string { return slices.Clone(s.reads) })
}

// Refusals returns the reasons for refusing badly signed requests.
func (s *SecretsManager) Refusals() []string {
	return locked(&s.mu, func() []string { return slices.Clone(s.refusals) })
}

// ServeHTTP responds to GetSecretValue.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
func (s *SecretsManager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := s.account.verifyRequest(r, "secretsmanager")
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.refusals = append(s.refusals, err.Error())
		refuse(w, "InvalidSignatureException", "The request signature does not match.")
		return
	}
	var in struct{ SecretId, VersionStage string } //nolint:revive // the service's own names
	if err := json.Unmarshal(body, &in); err != nil || r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" {
		refuse(w, "InvalidRequestException", "Not GetSecretValue.")
		return
	}
	s.reads = append(s.reads, in.VersionStage)
	value, ok := s.values[[2]string{in.SecretId, in.VersionStage}]
	switch {
	case s.denied[in.SecretId]:
		refuse(w, "AccessDeniedException", "No identity-based policy allows the secretsmanager:GetSecretValue action.")
	case !ok:
		refuse(w, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: "+in.VersionStage)
	default:
		respond(w, http.StatusOK, map[string]any{"ARN": in.SecretId, "SecretString": value, "VersionStages": []string{in.VersionStage}})
	}
}

func refuse(w http.ResponseWriter, kind, message string) {
	respond(w, http.StatusBadRequest, map[string]any{"__type": kind, "Message": message})
}

func respond(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone if this fails
}
