package api

import (
	"errors"
	"time"

	"flashsale/pkg/checkout"
)

// The examples of the OpenAPI document tell one story: a shopper holds one of a product, orders it and pays.

const (
	exampleRequestID = "5b2f8a52-6f0e-4f4e-9d0c-3a4f6f1f7c11"
	exampleHoldID    = "hold_01jd9m3k7vfq8r2x5t6w0y4zab"
	exampleOrderID   = "ord_01jd9m3k7vfq8r2x5t6w0y4zab"
	examplePaymentID = "pay_7Qm2"
)

var exampleStart = time.Date(2026, time.November, 27, 9, 0, 0, 0, time.UTC)

func exampleTime(after time.Duration) Time { return Time(exampleStart.Add(after)) }

func exampleProduct() Product {
	return Product{
		ID: "demo", Name: "Demo sneaker", Price: Money{4999, "USD"}, Stock: 100, ReservedStock: 3, SoldStock: 12, AvailableStock: 85,
		MaxQtyPerHold: 4, AsOf: exampleTime(-time.Second),
	}
}

func exampleHold(status checkout.HoldStatus) Hold {
	h := Hold{
		ID: exampleHoldID, ProductID: "demo", Qty: 1, Status: string(status),
		CreatedAt: exampleTime(0), ExpiresAt: exampleTime(2 * time.Minute),
	}
	if status == checkout.HoldOrdered {
		h.OrderID = exampleOrderID
	}
	return h
}

func exampleOrder(status checkout.OrderStatus, reason checkout.Reason, updated time.Duration) Order {
	const ordered = 30 * time.Second
	return Order{
		ID: exampleOrderID, HoldID: exampleHoldID, ProductID: "demo", Qty: 1, Amount: Money{4999, "USD"}, Status: string(status),
		Reason: string(reason), Reference: "cart-1042", PayBy: exampleTime(ordered + 15*time.Minute), CreatedAt: exampleTime(ordered),
		UpdatedAt: exampleTime(updated),
	}
}

// successExamples has, for each operation and status, bodies by name.
var successExamples = func() map[string]map[string]map[string]any {
	pending := exampleOrder(checkout.OrderPendingPayment, "", 30*time.Second)
	paid := exampleOrder(checkout.OrderPaid, "", time.Minute)
	customer := exampleOrder(checkout.OrderCancelled, checkout.ReasonCustomer, time.Minute)
	holds := map[string]any{
		"active": exampleHold(checkout.HoldActive), "ordered": exampleHold(checkout.HoldOrdered),
		"released": exampleHold(checkout.HoldReleased), "expired": exampleHold(checkout.HoldExpired),
	}
	orders := map[string]any{
		"pending_payment": pending, "paid": paid, "cancelled": exampleOrder(checkout.OrderCancelled, checkout.ReasonPaymentTimeout, 16*time.Minute),
		"refund_due": exampleOrder(checkout.OrderRefundDue, checkout.ReasonLatePayment, 20*time.Minute),
		"refunded":   exampleOrder(checkout.OrderRefunded, "", time.Hour),
	}
	delivered := map[string]map[string]any{
		"200": {
			"applied":   EventResult{Result: "applied", OrderID: exampleOrderID, OrderStatus: "paid"},
			"duplicate": EventResult{Result: "duplicate", OrderID: exampleOrderID, OrderStatus: "paid"},
			"ignored":   EventResult{Result: "ignored"},
		},
		"202": {"unmatched": EventResult{Result: "unmatched"}, "stored": EventResult{Result: "stored"}},
	}
	return map[string]map[string]map[string]any{
		"list-products": {"200": {"last_page": ProductPage{Data: []Product{exampleProduct()}}}},
		"get-product":   {"200": {"on_sale": exampleProduct()}},
		"place-hold":    {"201": {"active": holds["active"]}, "200": {"replayed": holds["active"]}},
		"list-holds":    {"200": {"more": HoldPage{Data: []Hold{exampleHold(checkout.HoldOrdered)}, HasMore: true, NextCursor: nextCursor(exampleHoldID)}}},
		"get-hold":      {"200": holds},
		"create-order":  {"201": {"pending_payment": pending}, "200": {"paid": paid}},
		"list-orders":   {"200": {"last_page": OrderPage{Data: []Order{paid}}}},
		"get-order":     {"200": orders},
		"cancel-order":  {"200": {"cancelled": customer}}, "receive-payment-event": delivered, "receive-stripe-event": delivered,
	}
}()

// refusalExamples has an error of each code but invalid_request.
var refusalExamples = map[checkout.Code]error{
	checkout.CodeMalformedRequest:    errNotJSON,
	checkout.CodeUnauthenticated:     checkout.Unauthenticated("The bearer token is not valid, or has expired.", nil),
	checkout.CodeSignatureInvalid:    checkout.SignatureInvalid(nil),
	checkout.CodeTimestampTolerance:  checkout.TimestampOutOfTolerance(nil),
	checkout.CodeProductNotFound:     checkout.ErrProductNotFound,
	checkout.CodeHoldNotFound:        checkout.ErrHoldNotFound,
	checkout.CodeOrderNotFound:       checkout.ErrOrderNotFound,
	checkout.CodeNotFound:            checkout.ErrWebhookNotSetUp,
	checkout.CodeSoldOut:             checkout.SoldOut(0, 3),
	checkout.CodeSaleNotStarted:      checkout.SaleNotStarted(exampleStart.Add(time.Hour)),
	checkout.CodeSaleEnded:           checkout.ErrSaleEnded,
	checkout.CodeShopperLimit:        checkout.ShopperLimit(2, 2),
	checkout.CodeHoldReleased:        checkout.ErrHoldReleased,
	checkout.CodeHoldOrdered:         checkout.ErrHoldOrdered,
	checkout.CodeOrderNotCancellable: checkout.ErrOrderNotCancellable,
	checkout.CodeHoldExpired:         checkout.ErrHoldExpired,
	codeBodyTooLarge:                 errBodyTooLarge,
	codeUnsupportedMedia:             errUnsupportedMedia,
	checkout.CodeQtyOverLimit:        checkout.QtyOverLimit(4),
	checkout.CodeIdempotencyReused:   checkout.ErrIdempotencyReused,
	checkout.CodeEventIDReused:       checkout.ErrEventIDReused,
	checkout.CodeBusy:                checkout.Busy(nil),
	codeInternal:                     errors.New("internal"),
}

// invalidExamples has an invalid request of each operation.
var invalidExamples = func() map[string]error {
	limit := invalidExample("limit", "expected number >= 1")
	unexpected := invalidExample("fields", "unexpected parameter")
	return map[string]error{
		"list-products": limit, "list-holds": limit, "list-orders": limit,
		"get-product": unexpected, "get-hold": unexpected, "release-hold": unexpected, "get-order": unexpected, "cancel-order": unexpected,
		"place-hold":            invalidExample("qty", "expected number >= 1"),
		"create-order":          invalidExample("hold_id", "expected string to be hold_ and 26 characters"),
		"receive-payment-event": checkout.Invalid("data.order_id", "expected an order_id or a hold_id"),
		"receive-stripe-event":  checkout.Invalid("livemode", "expected true: this endpoint takes events of one mode only"),
	}
}()

func invalidExample(field, detail string) error {
	return &checkout.Error{Code: checkout.CodeInvalidRequest, Detail: invalidValues, Fields: []checkout.FieldError{{Field: field, Detail: detail}}}
}
