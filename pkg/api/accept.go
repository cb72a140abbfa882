package api

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"flashsale/pkg/checkout"
	"flashsale/pkg/strictjson"
)

// bodyTimeout limits how long a body may take to arrive.
const bodyTimeout = 5 * time.Second

var (
	errBodyTooLarge     = &checkout.Error{Code: codeBodyTooLarge, Detail: "The body is too large."}
	errUnsupportedMedia = &checkout.Error{Code: codeUnsupportedMedia, Detail: "The Content-Type must be application/json."}
	errNotJSON          = checkout.Malformed("The body is not valid JSON.")
)

// accept is the middleware in front of every operation. It reads the body and refuses what huma would let pass: a body
// that is not declared as JSON, a member or parameter given twice, an unknown or empty parameter.
//
// Webhooks are exempt, because their signature decides: nobody can sign for the sender, and a signed event that is
// refused for a header or a parameter of its URL could be a lost payment. Only the size of their body is limited.
func accept(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	signed := ctx.Operation().SkipValidateBody
	limit := int64(maxBody)
	if signed {
		limit = maxWebhookBody
	}
	var body []byte
	var err error
	if r.Body != nil && r.Body != http.NoBody {
		body, err = readBody(w, r, limit)
	}
	if err == nil && !signed {
		err = checkJSON(r.Header, body)
	}
	if err == nil && !signed {
		err = checkQuery(r.URL.RawQuery, ctx.Operation().Parameters)
	}
	if err != nil {
		writeProblem(w, infoOf(r.Context()), err)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.Header["Content-Type"] = jsonOnly // huma compares by case
	next(ctx)
}

// readBody reads the whole body. A body that breaks off, or whose chunks are broken, is the client's mistake.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, err error) {
	// On Lambda there is no connection to set a deadline on: the event has the whole body.
	_ = huma.SetReadDeadline(w, time.Now().Add(bodyTimeout))
	body, err = io.ReadAll(io.LimitReader(r.Body, limit+1))
	var network net.Error
	switch {
	case errors.As(err, &network) && network.Timeout():
		return nil, checkout.Malformed("The body did not arrive in time.")
	case err != nil:
		return nil, checkout.Malformed("The body ended early.")
	case int64(len(body)) > limit:
		return nil, errBodyTooLarge
	}
	return body, nil
}

// checkJSON checks a body's media type and syntax. The media type is what keeps the pages of other origins out: without
// it, a browser sends their requests without asking the server first.
func checkJSON(header http.Header, body []byte) error {
	if len(body) == 0 {
		return nil
	}
	if !isJSON(header["Content-Type"]) {
		return errUnsupportedMedia
	}
	switch err := strictjson.Check(body); {
	case errors.Is(err, strictjson.ErrMemberTwice):
		return checkout.Malformed("The body has an object with the same member twice.")
	case errors.Is(err, strictjson.ErrNotUTF8):
		return checkout.Malformed("The body is not valid UTF-8.")
	case err != nil:
		return errNotJSON
	}
	return nil
}

// isJSON reports whether the values of Content-Type are one media type, application/json in any case and with any
// parameters.
func isJSON(contentType []string) bool {
	if len(contentType) != 1 || contentType[0] == "application/json" {
		return len(contentType) == 1
	}
	kind, _, err := mime.ParseMediaType(contentType[0])
	return kind == "application/json" && (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter))
}

// checkQuery refuses parameters that are unknown, given twice or wrongly encoded, and empty ones unless they are texts.
// huma would ignore each of them.
func checkQuery(query string, parameters []*huma.Param) error {
	var problems []checkout.FieldError
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		encodedName, encodedValue, _ := strings.Cut(pair, "=")
		name, nameErr := url.QueryUnescape(encodedName)
		value, valueErr := url.QueryUnescape(encodedValue)
		if nameErr != nil {
			name = encodedName
		}
		i := slices.IndexFunc(parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
		detail := ""
		switch {
		case nameErr != nil, valueErr != nil:
			detail = "expected percent-encoding"
		case i < 0:
			detail = "unexpected parameter"
		case seen[name]:
			detail = "expected only once"
		case value == "" && parameters[i].Schema.Type != huma.TypeString:
			detail = "expected a value"
		}
		seen[name] = true
		if detail != "" {
			problems = append(problems, checkout.FieldError{Field: name, Detail: detail})
		}
	}
	if problems == nil {
		return nil
	}
	return &checkout.Error{Code: checkout.CodeInvalidRequest, Detail: invalidValues, Fields: problems}
}
