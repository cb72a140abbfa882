package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"flashsale/pkg/checkout"
)

// The refusals that only the edge knows.
const (
	codeMethodNotAllowed checkout.Code = "method_not_allowed"
	codeBodyTooLarge     checkout.Code = "body_too_large"
	codeUnsupportedMedia checkout.Code = "unsupported_media_type"
	codeInternal         checkout.Code = "internal"
)

// problems is the one table from a code to its HTTP status and title.
var problems = map[checkout.Code]struct {
	status int
	title  string
}{
	checkout.CodeMalformedRequest:    {http.StatusBadRequest, "Malformed request"},
	checkout.CodeSignatureInvalid:    {http.StatusUnauthorized, "Invalid signature"},
	checkout.CodeTimestampTolerance:  {http.StatusUnauthorized, "Timestamp out of tolerance"},
	checkout.CodeProductNotFound:     {http.StatusNotFound, "Product not found"},
	checkout.CodeHoldNotFound:        {http.StatusNotFound, "Hold not found"},
	checkout.CodeOrderNotFound:       {http.StatusNotFound, "Order not found"},
	checkout.CodeNotFound:            {http.StatusNotFound, "Not found"},
	codeMethodNotAllowed:             {http.StatusMethodNotAllowed, "Method not allowed"},
	checkout.CodeSoldOut:             {http.StatusConflict, "Sold out"},
	checkout.CodeSaleNotStarted:      {http.StatusConflict, "Sale not started"},
	checkout.CodeSaleEnded:           {http.StatusConflict, "Sale ended"},
	checkout.CodeHoldReleased:        {http.StatusConflict, "Hold released"},
	checkout.CodeHoldOrdered:         {http.StatusConflict, "Hold ordered"},
	checkout.CodeOrderNotCancellable: {http.StatusConflict, "Order not cancellable"},
	checkout.CodeHoldExpired:         {http.StatusGone, "Hold expired"},
	codeBodyTooLarge:                 {http.StatusRequestEntityTooLarge, "Body too large"},
	codeUnsupportedMedia:             {http.StatusUnsupportedMediaType, "Unsupported media type"},
	checkout.CodeInvalidRequest:      {http.StatusUnprocessableEntity, "Invalid request"},
	checkout.CodeQtyOverLimit:        {http.StatusUnprocessableEntity, "Quantity over limit"},
	checkout.CodeIdempotencyReused:   {http.StatusUnprocessableEntity, "Idempotency key reused"},
	checkout.CodeBusy:                {http.StatusServiceUnavailable, "Busy"},
	codeInternal:                     {http.StatusInternalServerError, "Internal error"},
}

// retryAfter is what a client waits after busy, in seconds.
const retryAfter = "1"

// Problem is an error as a client sees it: RFC 9457 with a stable code.
type Problem struct {
	Type           string         `json:"type" doc:"A URI for the code." example:"urn:flashsale:problem:sold_out"`
	Title          string         `json:"title" doc:"The code in words." example:"Sold out"`
	Status         int            `json:"status" example:"409"`
	Detail         string         `json:"detail" doc:"One sentence for a person." example:"This product is sold out."`
	Code           string         `json:"code" doc:"What a client switches on." example:"sold_out"`
	RequestID      string         `json:"request_id" doc:"Names the request in the server's log."`
	Errors         []FieldProblem `json:"errors,omitempty" doc:"What is wrong with which field."`
	AvailableStock *int64         `json:"available_stock,omitempty" doc:"sold_out: how many units can be held now."`
	SaleStartsAt   *Time          `json:"sale_starts_at,omitempty" doc:"sale_not_started: when the sale starts."`
}

// FieldProblem says what was expected of one field.
type FieldProblem struct {
	Field  string `json:"field" example:"qty"`
	Detail string `json:"detail" example:"expected number >= 1"`
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus is the HTTP status (huma.StatusError).
func (p *Problem) GetStatus() int { return p.Status }

// ContentType marks the response as a problem (huma.ContentTypeFilter).
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// problemOf turns any error into what a client may see of it. What is not a domain error is internal.
func problemOf(err error, requestID string) *Problem {
	var e *checkout.Error
	if !errors.As(err, &e) {
		e = &checkout.Error{Code: codeInternal, Detail: "Something went wrong here; the request id names it in our log."}
	}
	kind := problems[e.Code]
	p := &Problem{
		Type: "urn:flashsale:problem:" + string(e.Code), Title: kind.title, Status: kind.status,
		Detail: e.Detail, Code: string(e.Code), RequestID: requestID, AvailableStock: e.AvailableStock,
	}
	if e.SaleStartsAt != nil {
		p.SaleStartsAt = (*Time)(e.SaleStartsAt)
	}
	for _, f := range e.Fields {
		p.Errors = append(p.Errors, FieldProblem(f))
	}
	return p
}

// WriteProblem answers with what a client may see of err, for a server whose handler could not.
func WriteProblem(w http.ResponseWriter, requestID string, err error) {
	label(w, requestID)
	writeProblem(w, &requestInfo{id: requestID}, err)
}

// writeProblem answers with a problem outside of huma: no route, a panic.
func writeProblem(w http.ResponseWriter, info *requestInfo, err error) {
	info.err = err
	p := problemOf(err, info.id)
	info.code = p.Code
	if p.Code == string(checkout.CodeBusy) {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone if this fails
}

// newHumaError is how huma makes every error: from its own validation, and from what an operation returned.
func newHumaError(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
	err := domainError(status, message, errs)
	info := infoOf(ctx.Context())
	info.err = err
	p := problemOf(err, info.id)
	info.code = p.Code
	if p.Code == string(checkout.CodeBusy) {
		ctx.SetHeader("Retry-After", retryAfter)
	}
	return p
}

// msgBodyBrokeOff is huma's message for a body that cannot be read: the client hung up, which is no error of the server.
const msgBodyBrokeOff = "cannot read request body"

// domainError finds the domain's word for an error of huma's.
func domainError(status int, message string, errs []error) error {
	switch status {
	case http.StatusBadRequest:
		if len(errs) == 0 {
			return checkout.Malformed("A JSON body is required.")
		}
		return checkout.Malformed("The body is not valid JSON.")
	case http.StatusRequestTimeout:
		return checkout.Malformed("The body did not arrive in time.")
	case http.StatusRequestEntityTooLarge:
		return &checkout.Error{Code: codeBodyTooLarge, Detail: "The body is too large."}
	case http.StatusUnsupportedMediaType:
		return &checkout.Error{Code: codeUnsupportedMedia, Detail: "The body has to be application/json."}
	case http.StatusUnprocessableEntity:
		return validationError(errs)
	}
	if message == msgBodyBrokeOff {
		return checkout.Malformed("The body broke off.")
	}
	if len(errs) == 0 {
		return errors.New(message)
	}
	return errors.Join(errs...) // what an operation returned
}

// validationError reads huma's findings. They name a field as "body.qty" or "query.limit"; a missing property is
// reported of the object that lacks it. The values, which may be secret, are left out.
func validationError(errs []error) error {
	invalid := &checkout.Error{Code: checkout.CodeInvalidRequest, Detail: "The request has values that cannot be used."}
	for _, err := range errs {
		var found *huma.ErrorDetail
		if !errors.As(err, &found) {
			continue
		}
		_, field, _ := strings.Cut(found.Location, ".")
		detail := found.Message
		if field == "" {
			var missing string
			switch _, scanned := fmt.Sscanf(detail, validation.MsgExpectedRequiredProperty, &missing); {
			case scanned == nil:
				field, detail = missing, "required"
			case detail == validation.MsgExpectedObject:
				return checkout.Malformed("The body has to be a JSON object.")
			default: // a number that is an integer, but is not written as one
				field, detail = "body", "expected integers without fraction or exponent"
			}
		}
		invalid.Fields = append(invalid.Fields, checkout.FieldError{Field: field, Detail: detail})
	}
	return invalid
}

// refuses adds the refusals of an operation to its description: their statuses, and their codes for a person.
func refuses(op huma.Operation, codes ...checkout.Code) huma.Operation {
	codes = append(codes, checkout.CodeBusy, codeInternal)
	words := make([]string, len(codes))
	for i, code := range codes {
		words[i] = "`" + string(code) + "`"
		if status := problems[code].status; !slices.Contains(op.Errors, status) {
			op.Errors = append(op.Errors, status)
		}
	}
	op.Description += "\n\nError codes: " + strings.Join(words, ", ") + "."
	return op
}
