// Package strictjson checks JSON that two readers could understand differently. encoding/json replaces bytes that are no
// UTF-8, and lets the last of two equal members win; another reader may take the first.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
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
// as they are read: "qty" and "q\u0074y" are the same. It reads the bytes itself because every request pays for it: with
// json.Decoder it took three times as long.
func Check(body []byte) error {
	if err := Valid(body); err != nil {
		return err
	}
	var open []object
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{':
			open = append(open, object{nameNext: true})
		case '[':
			open = append(open, object{})
		case '}', ']':
			open = open[:len(open)-1]
		case ':':
			open[len(open)-1].nameNext = false
		case ',':
			last := &open[len(open)-1]
			last.nameNext = last.names != nil // in an array there are no names
		case '"':
			end := i + stringLength(body[i:])
			if len(open) > 0 && open[len(open)-1].nameNext && !open[len(open)-1].add(body[i:end]) {
				return ErrMemberTwice
			}
			i = end - 1
		}
	}
	return nil
}

// object is an object or array whose end has not been read.
type object struct {
	names    []string // the members so far, up to fewNames; nil for an array
	more     map[string]bool
	nameNext bool // the next string is a name, not a value
}

// fewNames is how many names are compared one by one.
const fewNames = 8

// add adds a name, given as in the body. It returns false if the object has that name.
func (o *object) add(quoted []byte) bool {
	name := unquote(quoted)
	if slices.Contains(o.names, name) || o.more[name] {
		return false
	}
	if o.names == nil {
		o.names = make([]string, 0, fewNames)
	}
	if len(o.names) < fewNames {
		o.names = append(o.names, name)
		return true
	}
	if o.more == nil {
		o.more = map[string]bool{}
	}
	o.more[name] = true
	return true
}

// unquote returns the text of a string of a valid body.
func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var text string
	_ = json.Unmarshal(quoted, &text) // it is valid
	return text
}

// stringLength returns the length of the string that text begins with, with its quotes. text is part of a valid body.
func stringLength(text []byte) int {
	for i := 1; ; i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
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
