package api

import (
	"cmp"
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

// The codes of refusals by this package itself.
const (
	codeMethodNotAllowed checkout.Code = "method_not_allowed"
	codeBodyTooLarge     checkout.Code = "body_too_large"
	codeUnsupportedMedia checkout.Code = "unsupported_media_type"
	codeInternal         checkout.Code = "internal"
)

// problems maps each code to its HTTP status and title.
var problems = map[checkout.Code]struct {
	status int
	title  string
}{
	checkout.CodeMalformedRequest:    {http.StatusBadRequest, "Malformed request"},
	checkout.CodeUnauthenticated:     {http.StatusUnauthorized, "Unauthenticated"},
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
	checkout.CodeShopperLimit:        {http.StatusConflict, "Shopper limit"},
	checkout.CodeHoldReleased:        {http.StatusConflict, "Hold released"},
	checkout.CodeHoldOrdered:         {http.StatusConflict, "Hold ordered"},
	checkout.CodeOrderNotCancellable: {http.StatusConflict, "Order not cancellable"},
	checkout.CodeHoldExpired:         {http.StatusGone, "Hold expired"},
	codeBodyTooLarge:                 {http.StatusRequestEntityTooLarge, "Body too large"},
	codeUnsupportedMedia:             {http.StatusUnsupportedMediaType, "Unsupported media type"},
	checkout.CodeInvalidRequest:      {http.StatusUnprocessableEntity, "Invalid request"},
	checkout.CodeQtyOverLimit:        {http.StatusUnprocessableEntity, "Quantity over limit"},
	checkout.CodeIdempotencyReused:   {http.StatusUnprocessableEntity, "Idempotency key reused"},
	checkout.CodeEventIDReused:       {http.StatusUnprocessableEntity, "Event id reused"},
	checkout.CodeBusy:                {http.StatusServiceUnavailable, "Busy"},
	codeInternal:                     {http.StatusInternalServerError, "Internal error"},
}

// retryAfter is the Retry-After of busy, in seconds.
const retryAfter = "1"

// Problem is the body of an error: RFC 9457 with a stable code.
type Problem struct {
	Type           string         `json:"type" doc:"A URI that identifies the code." example:"urn:flashsale:problem:sold_out"`
	Title          string         `json:"title" doc:"The code as text." example:"Sold out"`
	Status         int            `json:"status" example:"409"`
	Detail         string         `json:"detail" doc:"A sentence for a person to read." example:"This product is sold out."`
	Code           string         `json:"code" doc:"The stable code for a program to switch on." example:"sold_out"`
	RequestID      string         `json:"request_id" doc:"Identifies the request in the server's log."`
	Errors         []FieldProblem `json:"errors,omitempty" doc:"The fields with an invalid value, by name. At most 20; the detail says how many more there are."`
	AvailableStock *int64         `json:"available_stock,omitempty" doc:"With sold_out: the units that can be held now."`
	ReservedStock  *int64         `json:"reserved_stock,omitempty" doc:"With sold_out: the units that others hold or have ordered. Some of them may return."`
	MaxPerShopper  *int64         `json:"max_per_shopper,omitempty" doc:"With shopper_limit: the units of this product that one shopper may have."`
	Yours          *int64         `json:"yours,omitempty" doc:"With shopper_limit: the units of this product that the shopper has: held, ordered and bought."`
	SaleStartsAt   *Time          `json:"sale_starts_at,omitempty" doc:"With sale_not_started: when the sale starts."`
}

// FieldProblem says what was expected of one field.
type FieldProblem struct {
	Field  string `json:"field" example:"qty"`
	Detail string `json:"detail" example:"expected number >= 1"`
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// problemOf returns the problem that a client may see. An error that is no checkout.Error is internal.
func problemOf(err error, requestID string) *Problem {
	var e *checkout.Error
	if !errors.As(err, &e) {
		e = &checkout.Error{Code: codeInternal, Detail: "Internal error. The server's log has the cause under this request_id."}
	}
	kind := problems[e.Code]
	p := &Problem{
		Type: "urn:flashsale:problem:" + string(e.Code), Title: kind.title, Status: kind.status,
		Detail: e.Detail, Code: string(e.Code), RequestID: requestID,
		AvailableStock: e.AvailableStock, ReservedStock: e.ReservedStock, MaxPerShopper: e.MaxPerShopper, Yours: e.Yours,
	}
	if e.SaleStartsAt != nil {
		p.SaleStartsAt = (*Time)(e.SaleStartsAt)
	}
	p.listFields(e.Fields)
	return p
}

// The size of the list of fields. A request can have thousands of invalid fields, with names as long as its body.
const (
	maxFields    = 20
	maxFieldName = 64 // characters
)

// listFields lists the fields by name, and says how many are left out.
func (p *Problem) listFields(fields []checkout.FieldError) {
	fields = slices.Clone(fields)
	slices.SortFunc(fields, func(a, b checkout.FieldError) int {
		return cmp.Or(strings.Compare(a.Field, b.Field), strings.Compare(a.Detail, b.Detail))
	})
	fields = slices.Compact(fields)
	for _, f := range fields[:min(len(fields), maxFields)] {
		if name := []rune(f.Field); len(name) > maxFieldName {
			f.Field = string(name[:maxFieldName]) + "…"
		}
		p.Errors = append(p.Errors, FieldProblem(f))
	}
	if more := len(fields) - maxFields; more > 0 {
		p.Detail += fmt.Sprintf(" The list of errors leaves out %d more.", more)
	}
}

// WriteProblem responds with the problem of err, for a server whose handler failed.
func WriteProblem(w http.ResponseWriter, requestID string, err error) {
	setDefaultHeaders(w, requestID)
	writeProblem(w, &requestInfo{id: requestID}, err)
}

// writeProblem responds with a problem outside of huma, for example after a panic.
func writeProblem(w http.ResponseWriter, info *requestInfo, err error) {
	info.err = err
	p := problemOf(err, info.id)
	info.code = p.Code
	if p.Code == string(checkout.CodeBusy) {
		w.Header().Set("Retry-After", retryAfter)
	}
	if c := challenge(info, err); c != "" {
		w.Header().Set("WWW-Authenticate", c)
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // fails only if the client is gone
}

// newHumaError makes every error response of huma, from its own validation and from what an operation returned.
func newHumaError(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
	err := domainError(status, message, errs)
	info := infoOf(ctx.Context())
	info.err = err
	p := problemOf(err, info.id)
	info.code = p.Code
	if p.Code == string(checkout.CodeBusy) {
		ctx.SetHeader("Retry-After", retryAfter)
	}
	if c := challenge(info, err); c != "" {
		ctx.SetHeader("WWW-Authenticate", c)
	}
	return p
}

// domainError translates an error of huma into an error of the domain. accept has read and checked the body before.
func domainError(status int, message string, errs []error) error {
	switch {
	case status == http.StatusBadRequest:
		return checkout.Malformed("The body is missing or cannot be read.")
	case status == http.StatusUnprocessableEntity:
		return validationError(errs)
	case len(errs) == 0:
		return errors.New(message)
	}
	return errors.Join(errs...) // the error that an operation returned
}

// invalidValues is the detail of several invalid values.
const invalidValues = "The request has invalid values."

// validationError converts huma's findings. huma names a field "body.qty" or "query.limit", and reports a missing
// property at the object that lacks it. The values, which may be secret, are left out.
func validationError(errs []error) error {
	invalid := &checkout.Error{Code: checkout.CodeInvalidRequest, Detail: invalidValues}
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
				return checkout.Malformed("The body must be a JSON object.")
			default: // an integer written as 1.0 or 1e0
				field, detail = "body", "expected integers without a fraction or exponent"
			}
		}
		invalid.Fields = append(invalid.Fields, checkout.FieldError{Field: field, Detail: detail})
	}
	return invalid
}

// codesKey is where the metadata of an operation has the codes of its refusals.
const codesKey = "codes"

// refuses documents the refusals of an operation: their statuses, and their codes in the description.
func refuses(op huma.Operation, codes ...checkout.Code) huma.Operation {
	codes = append(codes, checkout.CodeBusy, codeInternal)
	words := make([]string, len(codes))
	for i, code := range codes {
		words[i] = "`" + string(code) + "`"
		if status := problems[code].status; !slices.Contains(op.Errors, status) {
			op.Errors = append(op.Errors, status)
		}
	}
	op.Metadata = map[string]any{codesKey: codes}
	op.BodyReadTimeout = -1 // accept has read the body; net/http would take huma's deadline for a client that hangs up
	op.Description += "\n\nError codes: " + strings.Join(words, ", ") + "."
	return op
}
