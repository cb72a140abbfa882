package admin_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"flashsale/pkg/admin"
)

// An admin function of an earlier release refuses an operation, or a field, that it does not know. The command says what to do.
func TestClientExplainsAnEarlierRelease(t *testing.T) {
	for _, response := range []string{
		`{"error":{"code":"malformed_request","detail":"The request is not valid: json: unknown field \"mark\""}}`,
		`{"error":{"code":"invalid_request","detail":"Invalid.","fields":[{"field":"operation","detail":"expected one of migrate, audit"}]}}`,
	} {
		c := admin.Client{Invoke: func(context.Context, []byte, string) ([]byte, error) { return []byte(response), nil }}
		_, err := c.ReceivedEvents(t.Context(), nil, 1)
		if !errors.Is(err, admin.ErrOldFunction) || !strings.Contains(err.Error(), "of an earlier release and cannot do this (list_received_events): deploy this release first") {
			t.Errorf("got %v, expected advice to deploy", err)
		}
	}
}
