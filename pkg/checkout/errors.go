package checkout

import (
	"errors"
	"fmt"
	"time"
)

// Code identifies a refusal. Clients switch on it, so codes never change.
type Code string

// The refusals of the domain. pkg/api maps each to its HTTP status.
const (
	CodeProductNotFound     Code = "product_not_found"
	CodeHoldNotFound        Code = "hold_not_found"
	CodeOrderNotFound       Code = "order_not_found"
	CodeSoldOut             Code = "sold_out"
	CodeSaleNotStarted      Code = "sale_not_started"
	CodeSaleEnded           Code = "sale_ended"
	CodeQtyOverLimit        Code = "qty_over_limit"
	CodeShopperLimit        Code = "shopper_limit"
	CodeUnauthenticated     Code = "unauthenticated"
	CodeIdempotencyReused   Code = "idempotency_key_reused"
	CodeEventIDReused       Code = "event_id_reused"
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

// Error is a refusal that the caller sees: a code to switch on and a sentence to read. Every other error is
// internal: it is logged and never shown.
type Error struct {
	Code   Code
	Detail string
	Fields []FieldError // invalid_request: the expected value of each field

	AvailableStock *int64     // sold_out: units that can still be held
	ReservedStock  *int64     // sold_out: units held or ordered, some of which may return
	MaxPerShopper  *int64     // shopper_limit: units that one shopper may have
	Yours          *int64     // shopper_limit: units that the shopper has
	SaleStartsAt   *time.Time // sale_not_started: when the sale starts

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

// Unwrap returns the cause, which only the log shows.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of a refusal, or "" for nil and for an internal error.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// Refusals without further data.
var (
	ErrProductNotFound     = &Error{Code: CodeProductNotFound, Detail: "There is no product with this id."}
	ErrHoldNotFound        = &Error{Code: CodeHoldNotFound, Detail: "There is no hold with this id."}
	ErrOrderNotFound       = &Error{Code: CodeOrderNotFound, Detail: "There is no order with this id."}
	ErrSaleEnded           = &Error{Code: CodeSaleEnded, Detail: "The sale of this product has ended."}
	ErrIdempotencyReused   = &Error{Code: CodeIdempotencyReused, Detail: "This Idempotency-Key was used with another product or quantity."}
	ErrEventIDReused       = &Error{Code: CodeEventIDReused, Detail: "An event with this id and another content was received before."}
	ErrSignInNeeded        = &Error{Code: CodeUnauthenticated, Detail: "This product has a limit per shopper. Sign in to reserve it."}
	ErrHoldReleased        = &Error{Code: CodeHoldReleased, Detail: "This hold was released. Place a new one."}
	ErrHoldExpired         = &Error{Code: CodeHoldExpired, Detail: "This hold has expired. Place a new one."}
	ErrHoldOrdered         = &Error{Code: CodeHoldOrdered, Detail: "This hold has become an order. Cancel the order instead."}
	ErrWebhookNotSetUp     = &Error{Code: CodeNotFound, Detail: "This webhook has no secret configured."}
	ErrOrderNotCancellable = &Error{Code: CodeOrderNotCancellable, Detail: "Only an order that is waiting for payment can be cancelled."}
)

// SoldOut refuses a hold of more units than are available. Some of the reserved ones may return.
func SoldOut(available, reserved int64) *Error {
	detail := "This product is sold out."
	if available > 0 {
		detail = fmt.Sprintf("Only %d of this product are available.", available)
	}
	return &Error{Code: CodeSoldOut, Detail: detail, AvailableStock: &available, ReservedStock: &reserved}
}

// SaleNotStarted refuses a hold before the sale starts.
func SaleNotStarted(at time.Time) *Error {
	return &Error{Code: CodeSaleNotStarted, Detail: "The sale of this product starts at " + at.UTC().Format(time.RFC3339) + ".", SaleStartsAt: &at}
}

// QtyOverLimit refuses a hold of more units than the product allows in one hold.
func QtyOverLimit(limit int64) *Error {
	return &Error{
		Code: CodeQtyOverLimit, Detail: fmt.Sprintf("One hold can have at most %d of this product.", limit),
		Fields: []FieldError{{Field: "qty", Detail: fmt.Sprintf("expected at most %d", limit)}},
	}
}

// ShopperLimit refuses a hold that would give the shopper more units of the product, held, ordered and bought, than one shopper
// may have. A blocked shopper has the limit 0.
func ShopperLimit(limit, yours int64) *Error {
	detail := fmt.Sprintf("One shopper can have at most %d of this product. You have %d.", limit, yours)
	return &Error{Code: CodeShopperLimit, Detail: detail, MaxPerShopper: &limit, Yours: &yours}
}

// Unauthenticated refuses a request that needs a signed-in shopper. cause is for the log.
func Unauthenticated(detail string, cause error) *Error {
	return &Error{Code: CodeUnauthenticated, Detail: detail, cause: cause}
}

// Invalid refuses the value of one field.
func Invalid(field, detail string) *Error {
	return &Error{Code: CodeInvalidRequest, Detail: "The request has an invalid value.", Fields: []FieldError{{field, detail}}}
}

// Busy refuses work that the database could not do in time. The caller may retry the same request.
func Busy(cause error) *Error {
	return &Error{Code: CodeBusy, Detail: "The service is busy. Retry this request.", cause: cause}
}

// SignatureInvalid refuses a webhook that was not signed with a configured secret.
func SignatureInvalid(cause error) *Error {
	return &Error{Code: CodeSignatureInvalid, Detail: "The signature does not match the body.", cause: cause}
}

// TimestampOutOfTolerance refuses a webhook signed too long ago, or too far in the future.
func TimestampOutOfTolerance(cause error) *Error {
	return &Error{Code: CodeTimestampTolerance, Detail: "The signed timestamp is more than 5 minutes from the current time.", cause: cause}
}

// Malformed refuses a body that cannot be parsed.
func Malformed(detail string) *Error { return &Error{Code: CodeMalformedRequest, Detail: detail} }
