package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"flashsale/internal/lambdaemu"
	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/pkg/ledger"
)

const adminTimeout = 30 * time.Second

// ask calls the function admin, as `aws lambda invoke` would.
func ask(t testing.TB, f *lambdaemu.Function, payload string) (string, error) {
	t.Helper()
	result, err := f.Invoke(context.Background(), json.RawMessage(payload), adminTimeout)
	return strings.TrimSpace(string(result)), err
}

// For CloudFormation the function migrates the database, here one that lacks a routine. It reports the outcome to the
// given address, and names the same resource each time.
func TestSchemaResourceMigrates(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{})
	s := shoptest.New(t, 1, o)
	var told map[string]any
	s3 := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		told = map[string]any{"method": r.Method}
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &told)
	}))
	defer s3.Close()
	event := func(kind string) string {
		return fmt.Sprintf(`{"RequestType":%q,"RequestId":"c1","ResponseURL":%q,"StackId":"arn:aws:cloudformation:eu-west-1:123456789012:stack/shop/1",
			"LogicalResourceId":"Schema","ResourceType":"Custom::Schema","ResourceProperties":{"ServiceToken":"arn","Version":"7"}}`, kind, s3.URL+"/answer?signature=x")
	}
	f := s.StartFunction(t, "admin", o)
	s.DropRoutine(t, "place_hold")
	for _, kind := range []string{"Create", "Update", "Delete"} {
		if kind == "Delete" { // it changes nothing, so that a stack with a broken database can be deleted
			s.DropRoutine(t, "snapshot")
		}
		if _, err := ask(t, f, event(kind)); err != nil {
			t.Fatal(err)
		}
		if told["method"] != http.MethodPut || told["Status"] != "SUCCESS" || told["PhysicalResourceId"] != "schema" || told["StackId"] == "" || told["RequestId"] != "c1" {
			t.Errorf("%s: CloudFormation was told %v, expected SUCCESS", kind, told)
		}
		var routines int
		if err := s.Admin.QueryRow("SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema = DATABASE() AND routine_name IN (?, ?)",
			ledger.InstalledName("place_hold"), ledger.InstalledName("snapshot")).Scan(&routines); err != nil {
			t.Fatal(err)
		}
		if want := map[string]int{"Create": 2, "Update": 2, "Delete": 1}[kind]; routines != want {
			t.Errorf("after %s there are %d of the routines, want %d", kind, routines, want)
		}
	}

	// If CloudFormation cannot be reached, the log says so. It does not show the address, with which anybody could
	// respond.
	gone := httptest.NewServer(nil)
	gone.Close()
	_, err := ask(t, f, strings.ReplaceAll(event("Update"), s3.URL, gone.URL))
	f.Stop()
	if err == nil || !strings.Contains(f.Output(), "reporting to CloudFormation") || strings.Contains(f.Output()+err.Error(), "signature=x") {
		t.Errorf("expected an error and a log that names CloudFormation without the signature, got %v\n%s", err, f.Output())
	}

	// A failed migration fails the deployment. CloudFormation is told where the log is, and nothing more.
	broken := shoptest.WithDefaults(t, shoptest.Options{})
	broken.CacheAddr = o.CacheAddr
	wrong := *s
	wrong.Env = &ledgertest.Env{AdminDSN: "nobody:hunter2@tcp(127.0.0.1:1)/flashsale"}
	bad := wrong.StartFunction(t, "admin", broken)
	_, _ = ask(t, bad, event("Update"))
	reason, _ := told["Reason"].(string)
	if told["Status"] != "FAILED" || told["PhysicalResourceId"] != "schema" || !strings.Contains(reason, "request id") || strings.Contains(reason, "127.0.0.1") {
		t.Errorf("CloudFormation was told %v, expected FAILED with the request id", told)
	}
	bad.Stop() // a pipe carries its last output
	if out := bad.Output(); !strings.Contains(out, "127.0.0.1:1") || strings.Contains(out, "hunter2") {
		t.Errorf("the log has not the cause, or the password: %s", out)
	}
}

// Operators' requests to the function, and invalid ones.
func TestAdminRunsOperationsAndRefusesInvalidRequests(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{})
	s := shoptest.New(t, 5, o)
	f := s.StartFunction(t, "admin", o)
	for _, tc := range []struct{ payload, want string }{
		{`{"operation":"migrate"}`, `{}`},
		{`{"operation":"put_product","product":{"id":"lamp","name":"Lamp","price":{"amount":2990,"currency":"EUR"},"stock":20,"sale_ends_at":"2099-01-01T00:00:00Z"}}`, `"created":true`},
		{`{"operation":"put_product","product":{"id":"lamp","sale_ends_at":"none","stock":7}}`, `"stock":7`},
		{`{"operation":"put_product","product":{"id":"lamp","stock":-1}}`, `"field":"stock","detail":"expected 0 to 1000000000"`},
		{`{"operation":"put_product","product":{"id":"LAMP"}}`, `"field":"id"`},
		{`{"operation":"put_product","product":{"id":"lamp","price":{"amount":1,"currency":"euro"}}}`, `"field":"currency"`},
		{`{"operation":"put_product","product":{"id":"lamp","price":{"amount":1,"currency":"ABC"}}}`, `"field":"currency","detail":"expected ISO 4217 such as USD"`},
		{`{"operation":"put_product","product":{"id":"lamp","sale_ends_at":"tomorrow"}}`, `"code":"malformed_request"`},
		{`{"operation":"put_product"}`, `"field":"product"`},
		{`{"operation":"put_product","product":{"id":"new","stock":1}}`, `a new product needs a name`},
		{`{"operation":"list_products","limit":1}`, `"id":"lamp"`},
		{`{"operation":"list_products","limit":100000}`, `"field":"limit"`},
		{`{"operation":"list_products","after":"☃"}`, `"field":"after"`},
		{`{"operation":"audit"}`, `"clean":true`},
		{`{"operation":"list_owed_payments"}`, `{"owed":{"entries":[],"total":0,"totals":[]}}`},
		{`{"operation":"list_orders"}`, `{"orders":{"entries":[],"total":0}}`},
		{`{"operation":"list_orders","orders":{"status":"lost"}}`, `"field":"status"`},
		{`{"operation":"list_orders","orders":{"product_id":"LAMP"}}`, `"field":"product_id"`},
		{`{"operation":"order_history","order_id":"ord_01h455vb4pex5vsknk084sn02q"}`, `"code":"order_not_found"`},
		{`{"operation":"order_history"}`, `"field":"order_id"`},
		{`{"operation":"list_events","state":"reused"}`, `{"events":{"entries":[],"total":0}}`},
		{`{"operation":"list_events","state":"disputes"}`, `{"events":{"entries":[],"total":0}}`},
		{`{"operation":"list_events"}`, `"field":"state"`},
		{`{"operation":"find_payments","payment_id":"pay_1"}`, `{}`},
		{`{"operation":"record_refund"}`, `"field":"refund"`},
		{`{"operation":"record_refund","refund":{"id":"record:1","provider":"standard","payment_id":"pay_1","amount":1,"note":"x"}}`, `"field":"payment"`},
		{`{"operation":"drop"}`, `"field":"operation","detail":"expected one of migrate, put_product`},
		{`{"operation":"audit","verbose":true}`, `"code":"malformed_request"`},
		{`[]`, `"code":"malformed_request"`},
		{`{}`, `"field":"operation"`},
		{`"audit"`, `"code":"malformed_request"`},
	} {
		if got, err := ask(t, f, tc.payload); err != nil || !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %s %v, expected %s", tc.payload, got, err, tc.want)
		}
	}
}
