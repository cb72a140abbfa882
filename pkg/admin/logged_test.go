package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// shopkeeper is an Operator that sells one mug, and fails as told.
type shopkeeper struct {
	admin.Operator
	err error
}

func (s shopkeeper) Migrate(context.Context) error { return s.err }

func (s shopkeeper) PutProduct(_ context.Context, c checkout.ProductChange) (checkout.Product, bool, error) {
	return checkout.Product{ID: c.ID, Name: "Mug", Price: *c.Price, Stock: 5, MaxQtyPerHold: 2, Version: 8}, false, s.err
}

var newPrice = checkout.ProductChange{ID: "mug", Price: &checkout.Money{Amount: 700, Currency: "USD"}}

// lines are the lines of a log without time and level.
func lines(t *testing.T, log fmt.Stringer) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		var members map[string]any
		if err := json.Unmarshal([]byte(line), &members); err != nil {
			t.Fatal(err)
		}
		delete(members, "time")
		all = append(all, members)
	}
	return all
}

func TestChangedPriceIsLoggedWithOperatorAndBothPrices(t *testing.T) {
	t.Parallel()
	c, log := clientOf(shopkeeper{})
	if _, _, err := c.PutProduct(t.Context(), newPrice); err != nil {
		t.Fatal(err)
	}
	settings := func(price, version float64) map[string]any {
		return map[string]any{
			"name": "Mug", "price": map[string]any{"amount": price, "currency": "USD"}, "stock": 5.0, "max_qty_per_hold": 2.0,
			"max_per_shopper": "none", "hidden": false,
			"sale_starts_at": "none", "sale_ends_at": "none", "version": version,
		}
	}
	want := []map[string]any{{
		"level": "INFO", "msg": "operator action", "operation": "put_product", "operator": "grace", "entity": "product mug",
		"created": false, "before": settings(500, 7), "after": settings(700, 8),
	}}
	if d := cmp.Diff(want, lines(t, log)); d != "" {
		t.Errorf("expected (-) and logged (+) lines differ:\n%s", d)
	}
}

func TestMigrationIsLoggedWithOperator(t *testing.T) {
	t.Parallel()
	c, log := clientOf(shopkeeper{})
	if err := c.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{{"level": "INFO", "msg": "operator action", "operation": "migrate", "operator": "grace", "entity": "database"}}
	if d := cmp.Diff(want, lines(t, log)); d != "" {
		t.Errorf("expected (-) and logged (+) lines differ:\n%s", d)
	}
}

// A change whose response was lost may have been made. A refused one was not.
func TestFailedChangeIsLoggedUnlessItWasRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err    error
		logged bool
	}{
		{errors.New("connection lost"), true},
		{&checkout.Error{Code: checkout.CodeBusy}, true},
		{checkout.Invalid("stock", "expected more"), false},
		{fmt.Errorf("migrating: %w", ledger.ErrNewerSchema), false},
	} {
		c, log := clientOf(shopkeeper{err: tc.err})
		_, _, _ = c.PutProduct(t.Context(), newPrice)
		found := false
		for _, line := range lines(t, log) {
			if line["msg"] != "operator action failed, and may have taken effect" {
				continue
			}
			found = true
			change := map[string]any{"price": map[string]any{"amount": 700.0, "currency": "USD"}}
			if d := cmp.Diff(change, line["change"]); line["operator"] != "grace" || line["level"] != "WARN" || line["after"] != nil || d != "" {
				t.Errorf("%v: logged %v, expected a warning with the operator and the change, and no product afterwards", tc.err, line)
			}
		}
		if found != tc.logged {
			t.Errorf("%v: logged %s, expected a line: %t", tc.err, log, tc.logged)
		}
	}
}

// CloudFormation migrates on behalf of a deployment. Somebody who invokes the function without a name is unknown.
func TestCallerIsNamed(t *testing.T) {
	t.Parallel()
	s3 := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s3.Close()
	for payload, want := range map[string]string{
		`{"operation":"migrate"}`: "unknown",
		`{"RequestType":"Update","ResponseURL":"` + s3.URL + `","StackId":"arn:stack","RequestId":"1","LogicalResourceId":"Schema"}`: "CloudFormation, arn:stack",
	} {
		var log strings.Builder
		logger := slog.New(slog.NewJSONHandler(&log, nil))
		h := admin.Handler{Operator: admin.Logged{Operator: shopkeeper{}, Logger: logger, Who: admin.Caller}, Logger: logger, Flush: func() {}}
		ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{})
		if _, err := h.Invoke(ctx, []byte(payload)); err != nil || !strings.Contains(log.String(), `"operator":"`+want+`"`) {
			t.Errorf("%s: got %v and the log %s, expected the operator %s", payload, err, &log, want)
		}
	}
}

// A name is limited, and cannot forge another line.
func TestCallerIsLimited(t *testing.T) {
	t.Parallel()
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{
		ClientContext: lambdacontext.ClientContext{Custom: map[string]string{"operator": "é\n" + strings.Repeat("x", 1000)}},
	})
	if got := []rune(admin.Caller(ctx)); len(got) != 255 {
		t.Errorf("a name of 1,002 characters became %d, expected 255", len(got))
	}
}
