// Package strictjson checks JSON that two readers could understand differently. encoding/json replaces bytes that are no
// UTF-8, and lets the last of two equal members win; another reader may take the first.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// The reasons to refuse a body.
var (
	ErrNotUTF8     = errors.New("the body is not valid UTF-8")
	ErrSyntax      = errors.New("the body is not one JSON value")
	ErrMemberTwice = errors.New("an object of the body has the same member twice")
)

// Valid checks that body is one JSON value in UTF-8. encoding/json limits its depth to 10,000.
func Valid(body []byte) error {
	switch {
	case !utf8.Valid(body):
		return ErrNotUTF8
	case !json.Valid(body):
		return ErrSyntax
	}
	return nil
}

// Check checks that body is valid and that no object in it, however deep, has the same member twice. Names are compared
// as they are read: "qty" and "q\u0074y" are the same. The cost is one pass over the body.
func Check(body []byte) error {
	if err := Valid(body); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber() // a float64 would refuse 1e999
	var open []object
	for {
		token, err := dec.Token()
		if err != nil {
			return nil //nolint:nilerr // the end: the body is valid
		}
		last := len(open) - 1
		switch token {
		case json.Delim('{'):
			open = append(open, object{names: map[string]bool{}})
			continue
		case json.Delim('['):
			open = append(open, object{})
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:last]
			last--
		default:
			if last >= 0 && open[last].names != nil && !open[last].inMember {
				name, _ := token.(string)
				if open[last].names[name] {
					return ErrMemberTwice
				}
				open[last].names[name], open[last].inMember = true, true
				continue
			}
		}
		if last >= 0 {
			open[last].inMember = false // its value has ended
		}
	}
}

// object is an object or array whose end has not been read.
type object struct {
	names    map[string]bool // the members so far; nil for an array
	inMember bool            // the next token is, or begins, the value of a member
}

// Members returns the members of an object in valid JSON, or nil if it is no object. unique is false if the object has
// the same member twice; objects inside of it are not checked.
func Members(raw []byte) (members map[string]json.RawMessage, unique bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, true
	}
	members, unique = map[string]json.RawMessage{}, true
	for dec.More() {
		token, err := dec.Token()
		name, isName := token.(string)
		var value json.RawMessage
		if err != nil || !isName || dec.Decode(&value) != nil {
			return nil, true
		}
		if _, there := members[name]; there {
			unique = false
		}
		members[name] = value
	}
	return members, unique
}
