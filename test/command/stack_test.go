package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/internal/lambdaemu"
	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

const adminTimeout = 30 * time.Second

// aws responds to the command as AWS would. CloudFormation knows one stack, Lambda calls its admin function, and
// Secrets Manager has its webhook secret. While throttled is set, Lambda refuses to list products, and counts
// migrations but loses their responses.
func aws(t *testing.T, s *shoptest.Shop, api string, throttled *atomic.Bool, migrations *atomic.Int32) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager.") {
			var q struct{ SecretId, VersionStage string } //nolint:revive // AWS's names
			_ = json.NewDecoder(r.Body).Decode(&q)
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			if q.VersionStage != "AWSCURRENT" || q.SecretId != "arn:webhook-secret" {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"__type":"ResourceNotFoundException","Message":"no such version"}`)
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]string{"ARN": q.SecretId, "SecretString": shoptest.Secret("new"), "VersionId": "1"})
			return
		}
		if r.FormValue("Action") != "DescribeStacks" || r.FormValue("StackName") != "shop-dev" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id %s does not exist</Message></Error></ErrorResponse>`, r.FormValue("StackName"))
			return
		}
		_, _ = fmt.Fprintf(w, `<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks><member>
			<StackName>shop-dev</StackName><StackStatus>CREATE_COMPLETE</StackStatus><CreationTime>2026-11-25T00:00:00Z</CreationTime><Outputs>
			<member><OutputKey>ApiUrl</OutputKey><OutputValue>%s</OutputValue></member>
			<member><OutputKey>AdminFunctionName</OutputKey><OutputValue>shop-dev-AdminFunction-1</OutputValue></member>
			<member><OutputKey>WebhookSecretArn</OutputKey><OutputValue>arn:webhook-secret</OutputValue></member>
			</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`, api)
	})
	mux.HandleFunc("POST /2015-03-31/functions/shop-dev-AdminFunction-1/invocations", func(w http.ResponseWriter, r *http.Request) {
		payload, _ := io.ReadAll(r.Body)
		if throttled.Load() && strings.Contains(string(payload), "list_products") {
			w.Header().Set("X-Amzn-Errortype", "TooManyRequestsException")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if throttled.Load() && strings.Contains(string(payload), "migrate") {
			migrations.Add(1)
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		result, err := s.Cloud.Pools["admin"].Invoke(r.Context(), json.RawMessage(payload), adminTimeout)
		var failure *lambdaemu.Failure
		if errors.As(err, &failure) {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			result, _ = json.Marshal(failure)
		}
		_, _ = w.Write(result)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// The same commands work on a deployed stack.
func TestCommandsOnAStack(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 10, shoptest.Options{Functions: true})
	var throttled atomic.Bool
	var migrations atomic.Int32
	endpoint := aws(t, s, s.URL, &throttled, &migrations)
	d := shoptest.NewDesk(t, "AWS_ENDPOINT_URL="+endpoint.URL, "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret-access-key")
	expect := func(code int, in, args string) {
		t.Helper()
		got, stdout, stderr := d.Run(t, strings.Fields(args)...)
		if got != code || !strings.Contains(stdout+stderr, in) {
			t.Errorf("flashsale %s: exit %d, want %d with %q\n%s%s", args, got, code, in, stdout, stderr)
		}
	}
	expect(0, "up to date", "--stack shop-dev migrate")
	expect(0, `Created lamp: "Lamp", 29.90 EUR, 20 of 20 available`, "--stack shop-dev product put lamp --name Lamp --price 29.90 --currency EUR --stock 20 --sale-starts-at 2020-01-01T00:00:00Z")
	expect(0, `19 of 19 available, at most 10 per hold.`, "product put lamp --stock 19 --sale-starts-at none --stack shop-dev")
	expect(1, "a new product needs", "--stack shop-dev product put new --stock 1")
	expect(2, "--stock: expected 0 to", "--stack shop-dev product put lamp --stock=-1")
	expect(0, "lamp  ", "--stack shop-dev product list")
	expect(0, "Clean: every counter", "--stack shop-dev audit")
	expect(0, "No refund is due.", "--stack shop-dev refunds")
	expect(0, "No event is unmatched.", "--stack shop-dev unmatched")

	// Three cases for the audit and the lists: a payment of the wrong amount, one for no order, and a broken counter.
	id := s.MustOrder(t, 2)
	expect(0, `"order_status":"refund_due"`, "--stack shop-dev webhook send --type payment.succeeded --amount 1 --currency USD --payment-id pay_wrong --order "+id.OrderID())
	nothing := checkout.ID(uuid.New()).OrderID()
	expect(0, "202", "--stack shop-dev webhook send --type payment.succeeded --amount 1 --currency USD --id evt_lost --order "+nothing)
	expect(0, id.OrderID()+"  0.01 USD   amount_mismatch  standard  pay_wrong", "--stack shop-dev refunds")
	expect(0, `"payment_id": "pay_wrong"`, "--stack shop-dev refunds --json")
	expect(0, "evt_lost", "--stack shop-dev unmatched")
	expect(0, nothing, "--stack shop-dev unmatched --json")
	if _, err := s.Admin.Exec("UPDATE products SET sold_stock = 4 WHERE id = ?", s.ProductID); err != nil {
		t.Fatal(err)
	}
	expect(1, "sold_stock_drift", "--stack shop-dev audit")

	expect(3, "Stack with id nothing does not exist", "--stack nothing audit")
	expect(2, "on this machine only", "--stack shop-dev run")
	expect(2, "on this machine only", "--stack shop-dev openapi")
	throttled.Store(true)
	expect(3, "calling the admin function", "--stack shop-dev migrate")
	if n := migrations.Load(); n != 1 {
		t.Errorf("%d migrations for one command whose response was lost", n)
	}
	if _, err := s.Admin.Exec("DROP TABLE payment_events"); err != nil {
		t.Fatal(err)
	}
	expect(3, "calling the admin function: invoking shop-dev-AdminFunction-1", "--stack shop-dev product list") // throttled
	expect(3, "the function's log has the cause under request id", "--stack shop-dev audit")                    // failed
}

// The lists are the same on servers that this machine can reach.
func TestListsOnLocalServers(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 10, shoptest.Options{})
	d := shoptest.NewDesk(t, "MYSQL_DSN="+s.AdminDSN, "CACHE_ADDR=127.0.0.1:1")
	if code, stdout, stderr := d.Run(t, "refunds"); code != 0 || stdout != "No refund is due.\n" {
		t.Errorf("refunds: exit %d, expected 0 and no refund, got %s %s", code, stdout, stderr)
	}
	if code, stdout, stderr := d.Run(t, "unmatched", "--json"); code != 0 || stdout != "[]\n" {
		t.Errorf("unmatched --json: exit %d, expected 0 and an empty list, got %s %s", code, stdout, stderr)
	}
	id := s.MustOrder(t, 1)
	s.Deliver(t, "evt_wrong", s.Event("payment.succeeded", id, 2))
	s.Deliver(t, "evt_early", s.Event("payment.succeeded", ledgertest.NewID(), 2))
	if code, stdout, _ := d.Run(t, "refunds"); code != 0 || !strings.Contains(stdout, id.OrderID()+"  99.98 USD  amount_mismatch  standard  pay_1") {
		t.Errorf("refunds: exit %d, expected 0 and the order with its payment, got %s", code, stdout)
	}
	if code, stdout, _ := d.Run(t, "unmatched"); code != 0 || !strings.Contains(stdout, "evt_early") || strings.Contains(stdout, "evt_wrong") {
		t.Errorf("unmatched: exit %d, expected 0 and only evt_early, got %s", code, stdout)
	}
}
