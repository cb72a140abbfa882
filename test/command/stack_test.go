package command

import (
	"context"
	"encoding/base64"
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

// aws responds to the command as AWS would. CloudFormation knows one stack, under the name shop-signin with sign-in. Lambda calls
// its admin function, and Secrets Manager has its webhook secret. While throttled is set, Lambda refuses to list products, and
// counts migrations but loses their responses.
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
		if r.FormValue("Action") == "GetCallerIdentity" {
			_, _ = io.WriteString(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
				<Arn>arn:aws:iam::123456789012:user/ada</Arn><UserId>AIDAEXAMPLE</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
			return
		}
		if r.FormValue("Action") != "DescribeStacks" || (r.FormValue("StackName") != "shop-dev" && r.FormValue("StackName") != "shop-signin") {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id %s does not exist</Message></Error></ErrorResponse>`, r.FormValue("StackName"))
			return
		}
		issuer := ""
		if r.FormValue("StackName") == "shop-signin" {
			issuer = "https://shop.example.com"
		}
		_, _ = fmt.Fprintf(w, `<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks><member>
			<StackName>shop-dev</StackName><StackStatus>CREATE_COMPLETE</StackStatus><CreationTime>2026-11-25T00:00:00Z</CreationTime><Outputs>
			<member><OutputKey>ApiUrl</OutputKey><OutputValue>%s</OutputValue></member>
			<member><OutputKey>AdminFunctionName</OutputKey><OutputValue>shop-dev-AdminFunction-1</OutputValue></member>
			<member><OutputKey>WebhookSecretArn</OutputKey><OutputValue>arn:webhook-secret</OutputValue></member>
			</Outputs><Parameters><member><ParameterKey>JwtIssuer</ParameterKey><ParameterValue>%s</ParameterValue></member></Parameters></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`, api, issuer)
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
		caller, _ := base64.StdEncoding.DecodeString(r.Header.Get("X-Amz-Client-Context"))
		result, err := s.Cloud.Pools["admin"].Invoke(lambdaemu.WithClientContext(r.Context(), string(caller)), json.RawMessage(payload), adminTimeout)
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
	expect(0, "Created lmap", "--stack shop-dev product put lmap --name Lamp --price 29.90 --currency EUR --stock 20")
	expect(0, "Deleted lmap.", "--stack shop-dev product delete lmap")
	expect(1, `There is no product "lmap".`, "--stack shop-dev product get lmap")
	expect(2, "--stock: expected 0 to", "--stack shop-dev product put lamp --stock=-1")
	expect(0, "lamp  ", "--stack shop-dev product list")
	expect(0, `"available_stock": 19`, "--stack shop-dev product get lamp --json")
	expect(0, "Clean: every counter", "--stack shop-dev audit")
	expect(0, "No refund is due.", "--stack shop-dev refunds")
	expect(0, "No event is unmatched.", "--stack shop-dev unmatched")

	expect(0, `"result":"applied"`, "--stack shop-dev buy lamp --qty 2 --yes")
	expect(0, `"available_stock": 17`, "--stack shop-dev product get lamp --json")

	// A signed-in shopper's order, whose amount the API shows to its shopper alone.
	ada, r := checkout.ShopperOf("https://shop.example.com", "ada"), robbery{Shop: s}
	own := r.reserve(t, ada, 1)[0]
	expect(2, "give --amount and --currency", "--stack shop-dev webhook send --type payment.succeeded --hold "+own.HoldID())
	r.order(t, ada, own)
	expect(0, `"order_status":"paid"`, "--stack shop-dev webhook send --type payment.succeeded --order "+own.OrderID())

	expectMoneyOnAStack(t, s, expect)
	for _, action := range []string{
		`"operation":"migrate","operator":"arn:aws:iam::123456789012:user/ada","entity":"database","lambda_request_id":`,
		`"operation":"put_product","operator":"arn:aws:iam::123456789012:user/ada","entity":"product lamp","created":false,"before":{"name":"Lamp",`,
		`"operation":"record_refund","operator":"arn:aws:iam::123456789012:user/ada","entity":"payment pay_wrong",`,
	} {
		if n := strings.Count(s.Cloud.Pools["admin"].Output(), action); n != 1 {
			t.Errorf("the admin function's log has %d lines with %s, expected 1: %s", n, action, s.Cloud.Pools["admin"].Output())
		}
	}
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

// expectMoneyOnAStack makes a payment of the wrong amount and one for no order, and looks at the lists.
func expectMoneyOnAStack(t *testing.T, s *shoptest.Shop, expect func(code int, in, args string)) {
	t.Helper()
	id := s.MustOrder(t, 2)
	expect(0, `"order_status":"refund_due"`, "--stack shop-dev webhook send --type payment.succeeded --amount 1 --currency USD --payment-id pay_wrong --order "+id.OrderID())
	nothing := checkout.ID(uuid.New()).OrderID()
	expect(0, "202", "--stack shop-dev webhook send --type payment.succeeded --amount 1 --currency USD --id evt_lost --order "+nothing)
	expect(0, id.OrderID()+"  0.01 USD   amount_mismatch  standard  pay_wrong", "--stack shop-dev refunds")
	expect(0, `"payment_id": "pay_wrong"`, "--stack shop-dev refunds --json")
	expect(0, "evt_lost", "--stack shop-dev unmatched")
	expect(0, nothing, "--stack shop-dev unmatched --json")
	expect(0, "no hold and no order has this id", "--stack shop-dev events --unmatched")
	expect(0, "No event is reused.", "--stack shop-dev events --reused")
	expect(0, "There are no open disputes.", "--stack shop-dev events --disputes")
	expect(0, "200", "--stack shop-dev webhook send --type payment.disputed --payment-id pay_wrong --dispute-id du_1 --id evt_disputed")
	expect(0, id.OrderID()+"  pay_wrong", "--stack shop-dev events --disputes")
	expect(0, `"event_id": "evt_disputed"`, "--stack shop-dev events --disputes --json")
	expect(0, "200", "--stack shop-dev webhook send --type payment.dispute_closed --payment-id pay_wrong --dispute-id du_1 --outcome won")
	expect(0, "There are no open disputes.", "--stack shop-dev events --disputes")
	expect(0, "refund_due  amount_mismatch  0.01 USD  -         0.01 USD", "--stack shop-dev orders --status refund_due")
	expect(1, "order_not_found", "--stack shop-dev order "+nothing)
	expect(1, "at most what the payment still holds", "--stack shop-dev refunds record --payment pay_wrong --amount 0.02 --note cash")
	expect(0, "it owes nothing more", "--stack shop-dev refunds record --payment pay_wrong --amount 0.01 --note cash")
	expect(0, "0.01 USD  ", "--stack shop-dev order "+id.OrderID())
	expect(0, "arn:aws:iam::123456789012:user/ada  cash", "--stack shop-dev order "+id.OrderID())
	expect(0, "No refund is due.", "--stack shop-dev refunds")
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
	if code, stdout, _ := d.Run(t, "refunds"); code != 0 || !strings.Contains(stdout, id.OrderID()+"  99.98 USD  amount_mismatch  standard  pay_") ||
		!strings.HasSuffix(stdout, "\nOwed: 99.98 USD in 1 payment.\n") {
		t.Errorf("refunds: exit %d, expected 0, the order with its payment and the total, got %s", code, stdout)
	}
	coins := []byte(strings.Replace(string(s.Event("payment.succeeded", id, 1)), "USD", "ZZZ", 1))
	if r := s.Deliver(t, "evt_coins", coins); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, "data.currency") {
		t.Errorf("a payment in a currency that does not exist: got %+v, expected 422 with the field", r)
	}
	if code, stdout, _ := d.Run(t, "events", "--unreadable"); code != 0 || !strings.Contains(stdout, "evt_coins") || !strings.Contains(stdout, "data.currency: expected a currency of ISO 4217") {
		t.Errorf("events --unreadable: exit %d, expected 0 and evt_coins, got %s", code, stdout)
	}
	if code, stdout, _ := d.Run(t, "unmatched"); code != 0 || !strings.Contains(stdout, "evt_early") || strings.Contains(stdout, "evt_wrong") {
		t.Errorf("unmatched: exit %d, expected 0 and only evt_early, got %s", code, stdout)
	}
}

// An operator finds a second payment, returns it by bank, and finds everything about its order.
func TestOperatorReturnsASecondPayment(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 10, shoptest.Options{})
	d := shoptest.NewDesk(t, "MYSQL_DSN="+s.AdminDSN, "CACHE_ADDR=127.0.0.1:1", "USER=ada")
	run := func(code int, args ...string) string {
		t.Helper()
		got, stdout, stderr := d.Run(t, args...)
		if got != code {
			t.Errorf("flashsale %s: exit %d, expected %d, got %s%s", strings.Join(args, " "), got, code, stdout, stderr)
		}
		return stdout + stderr
	}
	contains := func(what, text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s: expected %q in\n%s", what, part, text)
			}
		}
	}
	id := s.MustOrder(t, 1)
	money := func(provider, eventID string) {
		t.Helper()
		receipt, err := s.ApplyEvent(context.Background(), checkout.PaymentEvent{
			Provider: provider, EventID: eventID, Type: "payment.succeeded", Kind: checkout.PaymentSucceeded, Subject: &id,
			PaymentID: "pay_1", Amount: checkout.Money{Amount: 4999, Currency: "USD"},
		}, time.Minute)
		if err != nil || receipt.Result != checkout.PaymentApplied {
			t.Fatal(receipt.Result, err)
		}
	}
	money(checkout.ProviderStandard, "evt_1")
	money(checkout.ProviderStripe, "evt_2")

	contains("refunds", run(0, "refunds"), id.OrderID()+"  49.99 USD  second_payment  stripe    pay_1", "Owed: 49.99 USD in 1 payment.")
	var owed []map[string]any
	if err := json.Unmarshal([]byte(run(0, "refunds", "--json")), &owed); err != nil || len(owed) != 1 {
		t.Fatalf("refunds --json: got %v %v, expected one payment", owed, err)
	}
	for key, want := range map[string]any{"provider": "stripe", "payment_id": "pay_1", "order_id": id.OrderID(), "reason": "second_payment"} {
		if owed[0][key] != want {
			t.Errorf("refunds --json: %s is %v, expected %v", key, owed[0][key], want)
		}
	}
	record := []string{"refunds", "record", "--payment", "pay_1", "--note", "by bank, see 17", "--amount"}
	contains("an ambiguous id", run(2, append(record, "10")...), "at standard", "at stripe", "--provider")
	record = append([]string{"refunds", "record", "--provider", "stripe"}, record[2:]...)
	contains("too many decimals", run(2, append(record, "1.999")...), `--amount is "1.999", expected an amount in USD`)
	contains("nothing", run(2, append(record, "0")...), "--amount")
	contains("too much", run(1, append(record, "50")...), "--amount: expected at most what the payment still holds: 49.99 USD")
	contains("no such payment", run(1, "refunds", "record", "--payment", "pay_2", "--note", "x", "--amount", "1"), `--payment is "pay_2", but no payment with this id was received`)
	for range 2 { // the second time it records nothing
		contains("a part", run(0, append(record, "10", "--id", "record:a")...), "Recorded: 10.00 USD of payment pay_1 (stripe", "it owes 39.99 USD more")
	}
	contains("another amount with the same id", run(1, append(record, "11", "--id", "record:a")...), "expected a new id")
	contains("the rest", run(0, append(record, "39.99")...), "it owes nothing more")
	contains("refunds", run(0, "refunds"), "No refund is due.")

	text := run(0, "order", id.OrderID())
	contains("order", text, "Order  "+id.OrderID()+": paid, 1 of "+s.ProductID+", 49.99 USD", "Hold   "+id.HoldID()+": ordered",
		"record:a", "by bank, see 17", "ada", "evt_1", "evt_2", "Refunds and disputes:")
	if strings.Contains(text, "Rejected") {
		t.Errorf("order: expected no rejected events in\n%s", text)
	}
	var history struct {
		Payments, Refunds, Events []struct{}
		Rejected                  []struct{} `json:"rejected_events"`
	}
	if err := json.Unmarshal([]byte(run(0, "order", "--json", id.OrderID())), &history); err != nil || len(history.Payments) != 2 || len(history.Refunds) != 2 || len(history.Events) != 2 || history.Rejected == nil {
		t.Errorf("order --json: got %+v %v, expected 2 payments, 2 refunds and 2 events", history, err)
	}
	contains("an unknown order", run(1, "order", ledgertest.NewID().OrderID()), "order_not_found")

	contains("orders", run(0, "orders", "--product", s.ProductID, "--since", "1h", "--status", "paid"), id.OrderID(), "99.98 USD")
	contains("orders --csv", run(0, "orders", "--csv"), "order_id,product_id,qty,amount,currency,status,reason,received,returned,owed,other_currencies,created_at,reference\n"+
		id.OrderID()+","+s.ProductID+",1,49.99,USD,paid,,99.98,49.99,0.00,,")
	if got := run(0, "orders", "--json", "--since", "2099-01-01T00:00:00Z"); got != "[]\n" {
		t.Errorf("orders --json: got %s, expected an empty array", got)
	}
}

// Every state of an event has a list of its own.
func TestEventsByState(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 10, shoptest.Options{})
	d := shoptest.NewDesk(t, "MYSQL_DSN="+s.AdminDSN, "CACHE_ADDR=127.0.0.1:1")
	ctx := context.Background()
	subject := ledgertest.NewID()
	event := checkout.PaymentEvent{
		Provider: checkout.ProviderStandard, EventID: "evt_lost", Type: "payment.succeeded", Kind: checkout.PaymentSucceeded,
		Subject: &subject, PaymentID: "pay_1", Amount: checkout.Money{Amount: 4999, Currency: "USD"},
	}
	if _, err := s.ApplyEvent(ctx, event, time.Minute); err != nil {
		t.Fatal(err)
	}
	event.PaymentID = "pay_2"
	if _, err := s.ApplyEvent(ctx, event, time.Minute); checkout.CodeOf(err) != checkout.CodeEventIDReused {
		t.Fatal(err)
	}
	if err := s.RejectEvent(ctx, checkout.RejectedEvent{Provider: checkout.ProviderStripe, EventID: "evt_bad", Detail: "data.object: expected an object"}); err != nil {
		t.Fatal(err)
	}
	paid := s.MustOrder(t, 1)
	for _, e := range []checkout.PaymentEvent{
		{EventID: "evt_paid", Kind: checkout.PaymentSucceeded, Subject: &paid, Amount: checkout.Money{Amount: 4999, Currency: "USD"}},
		{EventID: "evt_disputed", Kind: checkout.PaymentDisputed, RefundID: "dispute:du_1"},
	} {
		e.Provider, e.PaymentID = checkout.ProviderStripe, "pi_1"
		if r, err := s.ApplyEvent(ctx, e, time.Minute); err != nil || r.Result != checkout.PaymentApplied {
			t.Fatal(r.Result, err)
		}
	}
	s.DropRoutine(t, "apply_event")
	id := s.MustOrder(t, 1)
	event.EventID, event.Subject = "evt_waits", &id
	if r, err := s.ApplyEvent(ctx, event, time.Minute); err != nil || r.Result != checkout.PaymentStored {
		t.Fatal(r.Result, err)
	}
	for state, want := range map[string][]string{
		"unmatched":  {"evt_lost", "pay_1"},
		"reused":     {"evt_lost", "pay_2"},
		"unreadable": {"evt_bad", "data.object: expected an object"},
		"stored":     {"evt_waits", id.OrderID()},
		"disputes":   {"evt_disputed", paid.OrderID()},
	} {
		var list []map[string]any
		code, stdout, stderr := d.Run(t, "events", "--"+state)
		jsonCode, text, _ := d.Run(t, "events", "--json", "--"+state)
		if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != 1 || list[0]["event_id"] != want[0] || jsonCode != 0 {
			t.Errorf("events --json --%s: exit %d, expected only %s, got %s", state, jsonCode, want[0], text)
		}
		if code != 0 || strings.Count(stdout, "\n") != 2 || !strings.Contains(stdout, want[0]) || !strings.Contains(stdout, want[1]) {
			t.Errorf("events --%s: exit %d, expected 0 and %v, got %s%s", state, code, want, stdout, stderr)
		}
	}
}
