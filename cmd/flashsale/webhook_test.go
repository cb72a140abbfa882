package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"flashsale/internal/shoptest"
	"flashsale/pkg/api"
	"flashsale/pkg/app"
	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

// shopWith is a server that shows an order to anonymous shoppers, or responds with a status. It records the headers of the edge,
// and the last event.
func shopWith(t *testing.T, status int) (url string, edge *[]string, event *string) {
	t.Helper()
	edge, event = new([]string), new(string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*edge = append(*edge, r.Header.Get(api.EdgeHeader))
		if r.Method == http.MethodPost {
			body, _ := io.ReadAll(r.Body)
			*event = string(body)
			return
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, `{"amount":{"amount":4999,"currency":"USD"}}`)
	}))
	t.Cleanup(server.Close)
	return server.URL, edge, event
}

func (c webhookSendCmd) runAt(t *testing.T, url string) error {
	t.Helper()
	c.URL, c.Type, c.Order = url, payments.StandardSucceeded, checkout.ID{1}.OrderID()
	config := app.LocalConfig{}
	config.WebhookSecrets, config.EdgeSecrets = []string{shoptest.Secret("new")}, []string{"the first", "the second"}
	return c.Run(environment{ctx: t.Context(), config: config, out: t.Output(), stderr: t.Output()})
}

func TestWebhookSendPassesTheEdge(t *testing.T) {
	t.Parallel()
	url, edge, event := shopWith(t, http.StatusOK)
	if err := (webhookSendCmd{}).runAt(t, url); err != nil || !strings.Contains(*event, "4999") || strings.Join(*edge, ", ") != "the first, the first" {
		t.Errorf("got %v with the edge's secrets %q and %s, expected the first secret twice and the order's amount", err, *edge, *event)
	}
}

// With --url the ledger on this machine may be another server's, so it is not asked.
func TestWebhookSendAsksForAnAmountThatTheServerDoesNotShow(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusNotFound, http.StatusUnauthorized} {
		url, _, event := shopWith(t, status)
		if err := (webhookSendCmd{}).runAt(t, url); err == nil || !strings.Contains(err.Error(), "give --amount and --currency") || *event != "" {
			t.Errorf("after %d: got %v and the event %q, expected advice and no event", status, err, *event)
		}
		amount := int64(4999)
		if err := (webhookSendCmd{Amount: &amount, Currency: "USD"}).runAt(t, url); err != nil || *event == "" {
			t.Errorf("with an amount after %d: got %v, expected an event", status, err)
		}
	}
}

// A refused address is shown, but never a password in it.
func TestRefusedAddressShowsNoPassword(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"http://ada:hunter2@127.0.0.1:3000/events", "http://ada:hunter2@127.0.0.1:port/events", "ftp://ada:hunter2@127.0.0.1"} {
		err := webhookListenCmd{ForwardTo: address}.check()
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "password") {
			t.Errorf("%s: got %v, expected a refusal that says why, without the password", address, err)
		}
	}
	if err := (webhookListenCmd{ForwardTo: "http://127.0.0.1:3000/@events"}).check(); err != nil {
		t.Error(err)
	}
}
