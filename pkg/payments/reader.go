package payments

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/money"
	"flashsale/pkg/strictjson"
)

const (
	// maxText is the maximum length of a string in an event, in bytes.
	maxText = 255
	// lastSecond is 9999-12-31T23:59:59Z, the last second of RFC 3339 and of the database.
	lastSecond = 253402300799
)

// object is a JSON object with unparsed members. A struct would not do, because two readers of a body could see
// different payments: encoding/json lets "TYPE" set the field "type", and lets the last of two equal names win.
type object struct {
	path    string // its path in the body, with a dot at the end; empty for the body itself
	members map[string]json.RawMessage
}

// get returns a member. null and "" count as missing, because many senders use them for a missing value.
func (o object) get(name string) (json.RawMessage, bool) {
	raw, ok := o.members[name]
	if !ok || string(raw) == "null" || string(raw) == `""` {
		return nil, false
	}
	return raw, true
}

// rfc3339 and unix read when an event happened. The time is informational, so an invalid one is dropped instead of
// refusing the payment.
func (o object) rfc3339(name string) *time.Time {
	var at time.Time
	if raw, ok := o.get(name); !ok || json.Unmarshal(raw, &at) != nil {
		return nil
	}
	return storable(at)
}

func (o object) unix(name string) *time.Time {
	raw, _ := o.get(name)
	seconds, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return nil
	}
	return storable(time.Unix(seconds, 0))
}

// storable returns a time in the database's range and precision, or nil. Another time would fail the statement.
func storable(at time.Time) *time.Time {
	if at.Unix() < 0 || at.Unix() > lastSecond {
		return nil
	}
	at = at.UTC().Truncate(time.Microsecond)
	return &at
}

// parseBody parses a body, which must be one JSON object in UTF-8.
func parseBody(body []byte) (object, error) {
	switch err := strictjson.Valid(body); {
	case errors.Is(err, strictjson.ErrNotUTF8):
		return object{}, checkout.Malformed("The body is not valid UTF-8.")
	case err != nil:
		return object{}, checkout.Malformed("The body is not one JSON value.")
	}
	members, unique := strictjson.Members(body)
	switch {
	case members == nil:
		return object{}, checkout.Malformed("The body is not a JSON object.")
	case !unique:
		return object{members: members}, checkout.Invalid("body", duplicateMember)
	}
	return object{members: members}, nil
}

const duplicateMember = "expected no object with the same member twice"

// unreadable refuses a verified event that cannot be read, and describes it for an operator without any part of its body
// but its id and type.
func unreadable(provider, id, eventType string, body []byte, err error) error {
	var refusal *checkout.Error
	if !errors.As(err, &refusal) {
		return err
	}
	event := checkout.RejectedEvent{Provider: provider, EventID: id, Digest: sha256.Sum256(body)}
	if !printable(id) {
		event.EventID = "sha256:" + hex.EncodeToString(event.Digest[:])
	}
	if printable(eventType) {
		event.Type = eventType
	}
	if len(refusal.Fields) == 0 {
		event.Detail = refusal.Detail
	}
	for i, f := range refusal.Fields {
		if i > 0 {
			event.Detail += "; "
		}
		event.Detail += f.Field + ": " + f.Detail
	}
	return &checkout.UnreadableError{Event: event, Refusal: refusal}
}

// plain returns a member if it is a string, for the description of an event that cannot be read.
func (o object) plain(name string) (text string) {
	if json.Unmarshal(o.members[name], &text) != nil {
		return ""
	}
	return text
}

// reader reads members and collects their problems, so that the sender gets all of them at once. A missing member reads
// as zero, and is a problem only if it is required.
type reader struct {
	problems []checkout.FieldError
	twice    bool // an object has the same member twice
}

func (r *reader) expect(o object, name, expected string) {
	r.problems = append(r.problems, checkout.FieldError{Field: o.path + name, Detail: "expected " + expected})
}

func (r *reader) ok() bool { return len(r.problems) == 0 && !r.twice }

// adopt adds the problems of another reader.
func (r *reader) adopt(other *reader) {
	r.problems = append(r.problems, other.problems...)
	r.twice = r.twice || other.twice
}

// result returns the event, or a refusal with all problems.
func (r *reader) result(event checkout.PaymentEvent) (checkout.PaymentEvent, error) {
	if r.twice {
		r.problems = append(r.problems, checkout.FieldError{Field: "body", Detail: duplicateMember})
	}
	if len(r.problems) > 0 {
		err := checkout.Invalid(r.problems[0].Field, r.problems[0].Detail)
		err.Fields = append(err.Fields, r.problems[1:]...)
		return checkout.PaymentEvent{}, err
	}
	return event, nil
}

func (r *reader) require(o object, names ...string) {
	for _, name := range names {
		if _, ok := o.get(name); !ok {
			r.expect(o, name, "a value")
		}
	}
}

func (r *reader) object(o object, name string) object {
	inner := object{path: o.path + name + "."}
	raw, ok := o.get(name)
	if !ok {
		return inner
	}
	members, unique := strictjson.Members(raw)
	if members == nil {
		r.expect(o, name, "an object")
	}
	r.twice = r.twice || !unique
	inner.members = members
	return inner
}

func (r *reader) text(o object, name string) string {
	raw, ok := o.get(name)
	if !ok {
		return ""
	}
	var text string
	if json.Unmarshal(raw, &text) != nil || !printable(text) {
		r.expect(o, name, "a string of 1 to 255 printable ASCII characters")
		return ""
	}
	return text
}

// printable reports whether text is 1 to 255 bytes of printable ASCII.
func printable(text string) bool {
	return text != "" && len(text) <= maxText &&
		!strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' })
}

func (r *reader) boolean(o object, name string) bool {
	raw, ok := o.get(name)
	if ok && string(raw) != "true" && string(raw) != "false" {
		r.expect(o, name, "true or false")
	}
	return string(raw) == "true"
}

// refund reads the amount that went back, in minor units, which an event may omit: all that is left. The currency may be
// omitted, too: the payment's.
func (r *reader) refund(o object) checkout.Money {
	var m checkout.Money
	if raw := o.members["amount"]; raw == nil || string(raw) == "null" { // "" is no amount at all: a mistake
		if _, has := o.get("currency"); has {
			r.money(o, "amount") // only its currency is checked
		}
		return m
	}
	if _, has := o.get("currency"); has {
		m = r.money(o, "amount")
	} else {
		m.Amount = r.amount(o, "amount")
	}
	if m.Amount == 0 && r.ok() {
		r.expect(o, "amount", "at least 1, in minor units")
	}
	return m
}

// amount reads an integer: 4999.0, 5e3 and "4999" are refused, and a large one keeps its last digit.
func (r *reader) amount(o object, name string) int64 {
	n, err := strconv.ParseInt(string(o.members[name]), 10, 64)
	if err != nil || n < 0 || n > checkout.MaxAmount {
		r.expect(o, name, "an integer from 0 to 10^18, in minor units")
		return 0
	}
	return n
}

// money reads an amount and its currency: a code that ISO 4217 has, or had until lately. It returns zero unless the object has both.
func (r *reader) money(o object, amount string) checkout.Money {
	var m checkout.Money
	_, hasAmount := o.get(amount)
	if hasAmount {
		before := len(r.problems)
		m.Amount = r.amount(o, amount)
		hasAmount = len(r.problems) == before
	}
	m.Currency = strings.ToUpper(r.text(o, "currency"))
	if _, known := money.Decimals(m.Currency); !known && m.Currency != "" {
		r.expect(o, "currency", "a currency of ISO 4217, such as USD")
		m.Currency = ""
	}
	if !hasAmount || m.Currency == "" {
		return checkout.Money{}
	}
	return m
}

// namesOurs reports whether a member starts like an id of this checkout, well-formed or not: an id in upper case or with
// spaces is a mistake of ours, not another shop's.
func (o object) namesOurs(name string) bool {
	text := strings.ToLower(strings.TrimSpace(o.plain(name)))
	return strings.HasPrefix(text, "ord_") || strings.HasPrefix(text, "hold_")
}

// subject reads the order or hold that was paid. Both have the same identity, so either is enough. named reports that
// one was given, well-formed or not.
func (r *reader) subject(o object) (id *checkout.ID, named bool) {
	order, hasOrder := r.id(o, "order_id", checkout.ParseOrderID, "the id of an order: ord_ and 26 characters")
	hold, hasHold := r.id(o, "hold_id", checkout.ParseHoldID, "the id of a hold: hold_ and 26 characters")
	switch {
	case order == nil:
		id = hold
	case hold == nil || *hold == *order:
		id = order
	default:
		r.expect(o, "hold_id", "the hold of order_id, or only one of the two")
	}
	return id, hasOrder || hasHold
}

func (r *reader) id(o object, name string, parse func(string) (checkout.ID, bool), expected string) (*checkout.ID, bool) {
	raw, ok := o.get(name)
	if !ok {
		return nil, false
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if id, ok := parse(text); ok {
			return &id, true
		}
	}
	r.expect(o, name, expected)
	return nil, true
}
