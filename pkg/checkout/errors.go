package checkout

import (
	"errors"
	"fmt"
	"time"
)

// Code is the stable word by which a client tells one refusal from another.
type Code string

// The refusals of the domain. Which HTTP status each has is the edge's affair (pkg/api).
const (
	CodeProductNotFound     Code = "product_not_found"
	CodeHoldNotFound        Code = "hold_not_found"
	CodeOrderNotFound       Code = "order_not_found"
	CodeSoldOut             Code = "sold_out"
	CodeSaleNotStarted      Code = "sale_not_started"
	CodeSaleEnded           Code = "sale_ended"
	CodeQtyOverLimit        Code = "qty_over_limit"
	CodeIdempotencyReused   Code = "idempotency_key_reused"
	CodeHoldReleased        Code = "hold_released"
	CodeHoldExpired         Code = "hold_expired"
	CodeHoldOrdered         Code = "hold_ordered"
	CodeOrderNotCancellable Code = "order_not_cancellable"
	CodeInvalidRequest      Code = "invalid_request"
	CodeSignatureInvalid    Code = "signature_invalid"
	CodeTimestampTolerance  Code = "timestamp_out_of_tolerance"
	CodeMalformedRequest    Code = "malformed_request"
	CodeNotFound            Code = "not_found"
	CodeBusy                Code = "busy"
)

// Error is a refusal that a caller is told of: a code to switch on and a sentence to read. Every other error is
// internal: it is logged and never shown.
type Error struct {
	Code   Code
	Detail string
	Fields []FieldError // what is wrong with which field (invalid_request)

	AvailableStock *int64     // sold_out: what is left
	SaleStartsAt   *time.Time // sale_not_started: when to come back

	cause error
}

// FieldError says what was expected of one field.
type FieldError struct{ Field, Detail string }

func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %v", e.Code, e.cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Detail)
}

// Unwrap gives the operator's log the cause.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of a refusal, or "" for nil and for an internal error.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// The refusals that carry nothing but their sentence.
var (
	ErrProductNotFound     = &Error{Code: CodeProductNotFound, Detail: "There is no product with this id."}
	ErrHoldNotFound        = &Error{Code: CodeHoldNotFound, Detail: "There is no hold with this id."}
	ErrOrderNotFound       = &Error{Code: CodeOrderNotFound, Detail: "There is no order with this id."}
	ErrSaleEnded           = &Error{Code: CodeSaleEnded, Detail: "The sale of this product has ended."}
	ErrIdempotencyReused   = &Error{Code: CodeIdempotencyReused, Detail: "This Idempotency-Key was used for a hold of another product or quantity."}
	ErrHoldReleased        = &Error{Code: CodeHoldReleased, Detail: "This hold was released; place a new one."}
	ErrHoldExpired         = &Error{Code: CodeHoldExpired, Detail: "This hold has expired; place a new one."}
	ErrHoldOrdered         = &Error{Code: CodeHoldOrdered, Detail: "This hold has become an order; cancel the order instead."}
	ErrWebhookNotSetUp     = &Error{Code: CodeNotFound, Detail: "No secret is configured for this webhook."}
	ErrOrderNotCancellable = &Error{Code: CodeOrderNotCancellable, Detail: "Only an order that waits for its payment can be cancelled."}
)

// SoldOut refuses a hold of more than is left.
func SoldOut(available int64) *Error {
	detail := "This product is sold out."
	if available > 0 {
		detail = fmt.Sprintf("Only %d of this product can be held now.", available)
	}
	return &Error{Code: CodeSoldOut, Detail: detail, AvailableStock: &available}
}

// SaleNotStarted refuses a hold before the sale.
func SaleNotStarted(at time.Time) *Error {
	return &Error{Code: CodeSaleNotStarted, Detail: "The sale of this product starts at " + at.UTC().Format(time.RFC3339) + ".", SaleStartsAt: &at}
}

// QtyOverLimit refuses a hold of more than one shopper may take.
func QtyOverLimit(limit int64) *Error {
	return &Error{
		Code: CodeQtyOverLimit, Detail: fmt.Sprintf("At most %d of this product can be held at a time.", limit),
		Fields: []FieldError{{Field: "qty", Detail: fmt.Sprintf("expected at most %d", limit)}},
	}
}

// Invalid refuses a value that a field cannot have.
func Invalid(field, detail string) *Error {
	return &Error{Code: CodeInvalidRequest, Detail: "The request has a value that cannot be used.", Fields: []FieldError{{field, detail}}}
}

// Busy refuses work that the database could not take on in time; the same request may be sent again.
func Busy(cause error) *Error {
	return &Error{Code: CodeBusy, Detail: "Too much is going on just now; send the same request again shortly.", cause: cause}
}

// SignatureInvalid refuses a webhook that nobody who knows a secret has signed.
func SignatureInvalid(cause error) *Error {
	return &Error{Code: CodeSignatureInvalid, Detail: "The signature does not match the body.", cause: cause}
}

// TimestampOutOfTolerance refuses a webhook that was signed too long ago, or in the future.
func TimestampOutOfTolerance(cause error) *Error {
	return &Error{Code: CodeTimestampTolerance, Detail: "The signed timestamp is more than 5 minutes off.", cause: cause}
}

// Malformed refuses a body that cannot be read as what it should be.
func Malformed(detail string) *Error { return &Error{Code: CodeMalformedRequest, Detail: detail} }
