package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"flashsale/pkg/api"
	"flashsale/pkg/checkout"
)

// Every refusal of the ledger has its status, whichever operation it comes from.
func TestErrorCodesHaveTheirStatus(t *testing.T) {
	t.Parallel()
	starts := at.Add(time.Hour)
	for code, c := range map[string]struct {
		err    error
		status int
	}{
		"product_not_found":          {checkout.ErrProductNotFound, 404},
		"hold_not_found":             {checkout.ErrHoldNotFound, 404},
		"order_not_found":            {checkout.ErrOrderNotFound, 404},
		"not_found":                  {checkout.ErrWebhookNotSetUp, 404},
		"sold_out":                   {checkout.SoldOut(1, 0), 409},
		"sale_not_started":           {checkout.SaleNotStarted(starts), 409},
		"sale_ended":                 {checkout.ErrSaleEnded, 409},
		"shopper_limit":              {checkout.ShopperLimit(2, 1), 409},
		"unauthenticated":            {checkout.ErrSignInNeeded, 401},
		"hold_released":              {checkout.ErrHoldReleased, 409},
		"hold_ordered":               {checkout.ErrHoldOrdered, 409},
		"order_not_cancellable":      {checkout.ErrOrderNotCancellable, 409},
		"hold_expired":               {checkout.ErrHoldExpired, 410},
		"malformed_request":          {checkout.Malformed("Malformed."), 400},
		"signature_invalid":          {checkout.SignatureInvalid(errors.New("mysql: hunter2")), 401},
		"timestamp_out_of_tolerance": {checkout.TimestampOutOfTolerance(nil), 401},
		"invalid_request":            {checkout.Invalid("qty", "expected more"), 422},
		"qty_over_limit":             {checkout.QtyOverLimit(4), 422},
		"idempotency_key_reused":     {checkout.ErrIdempotencyReused, 422},
		"event_id_reused":            {checkout.ErrEventIDReused, 422},
		"busy":                       {checkout.Busy(errors.New("SELECT 1: hunter2")), 503},
		"internal":                   {errors.New("SELECT 1 at 127.0.0.1: hunter2"), 500},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.err = fmt.Errorf("calling the ledger: %w", c.err)
			e := newEdge(f)
			for _, request := range [][3]string{
				{http.MethodPost, "/v1/holds", holdBody},
				{http.MethodGet, "/v1/holds/" + id.HoldID(), ""},
				{http.MethodDelete, "/v1/holds/" + id.HoldID(), ""},
				{http.MethodPost, "/v1/orders", `{"hold_id":"` + id.HoldID() + `"}`},
				{http.MethodGet, "/v1/orders/" + id.OrderID(), ""},
				{http.MethodPost, "/v1/orders/" + id.OrderID() + "/cancel", ""},
				{http.MethodGet, "/v1/products/demo", ""},
				{http.MethodGet, "/v1/products", ""},
				{http.MethodPost, "/v1/payments/webhook", "{}"},
				{http.MethodPost, "/v1/payments/webhook/stripe", "{}"},
			} {
				w := e.send(t, request[0], request[1], request[2], nil)
				wantProblem(t, w, c.status, code)
				want := ""
				if code == "busy" {
					want = "1"
				}
				wantHeader(t, w, "Retry-After", want)
			}
		})
	}
}

func TestRefusalsCarryTheirFigures(t *testing.T) {
	t.Parallel()
	f := newFake()
	e := newEdge(f)
	f.err = checkout.SoldOut(1, 0)
	if p := wantProblem(t, e.send(t, http.MethodPost, "/v1/holds", holdBody, nil), 409, "sold_out"); p.AvailableStock == nil || *p.AvailableStock != 1 {
		t.Errorf("available_stock is %v, expected 1", p.AvailableStock)
	}
	f.err = checkout.SoldOut(0, 3)
	if p := wantProblem(t, e.send(t, http.MethodPost, "/v1/holds", holdBody, nil), 409, "sold_out"); p.AvailableStock == nil || *p.AvailableStock != 0 {
		t.Errorf("available_stock is %v, expected 0 and not left out", p.AvailableStock)
	} else if p.ReservedStock == nil || *p.ReservedStock != 3 {
		t.Errorf("reserved_stock is %v, expected 3", p.ReservedStock)
	}
	f.err = checkout.ShopperLimit(2, 0)
	if p := wantProblem(t, e.send(t, http.MethodPost, "/v1/holds", holdBody, nil), 409, "shopper_limit"); p.MaxPerShopper == nil || *p.MaxPerShopper != 2 || p.Yours == nil || *p.Yours != 0 {
		t.Errorf("the limit is %v and yours is %v, expected 2 and 0", p.MaxPerShopper, p.Yours)
	}
	f.err = checkout.SaleNotStarted(at)
	if p := wantProblem(t, e.send(t, http.MethodPost, "/v1/holds", holdBody, nil), 409, "sale_not_started"); p.SaleStartsAt != "2026-11-27T09:00:00.123Z" {
		t.Errorf("sale_starts_at is %q, expected 2026-11-27T09:00:00.123Z", p.SaleStartsAt)
	}
	f.err = checkout.QtyOverLimit(4)
	p := wantProblem(t, e.send(t, http.MethodPost, "/v1/holds", holdBody, nil), 422, "qty_over_limit")
	if len(p.Errors) != 1 || p.Errors[0].Field != "qty" || p.Errors[0].Detail != "expected at most 4" {
		t.Errorf("errors are %+v, expected qty: expected at most 4", p.Errors)
	}
}

// A server whose handler could not respond writes the same problems.
func TestWriteProblem(t *testing.T) {
	t.Parallel()
	w := newRecorder()
	api.WriteProblem(w, "request-1", checkout.Busy(errors.New("SELECT 1")))
	if p := wantProblem(t, w, 503, "busy"); p.RequestID != "request-1" {
		t.Errorf("request_id is %q, expected request-1", p.RequestID)
	}
	wantHeader(t, w, "Retry-After", "1")
}
