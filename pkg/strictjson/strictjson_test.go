package strictjson_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"flashsale/pkg/strictjson"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]error{
		`{}`: nil, `[]`: nil, `null`: nil, `"a"`: nil, `1e999`: nil, ` {"a":1} `: nil,
		`{"a":1,"b":2}`:                           nil,
		`{"a":"a","b":"a"}`:                       nil, // values
		`{"a":{"a":{"a":1}},"b":{"a":1}}`:         nil, // in objects of their own
		`[{"a":1},{"a":1}]`:                       nil,
		`{"a":["a","a",{"a":1},["a","a"]],"b":1}`: nil,
		`{"a":1,"A":1}`:                           nil,
		`{"a":"{","b":"[","c":"\"a\":","d":"\\"}`: nil,
		`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10}`:        nil,
		`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"j":11}`: strictjson.ErrMemberTwice,
		`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"a":11}`: strictjson.ErrMemberTwice,
		`{"\\":1,"a\"":2,"\\":3}`:                    strictjson.ErrMemberTwice,
		`{"a":1,"a":1}`:                              strictjson.ErrMemberTwice,
		`{"a":1,"\u0061":2}`:                         strictjson.ErrMemberTwice,
		`{"":1,"":2}`:                                strictjson.ErrMemberTwice,
		`{"a":1,"b":{},"a":[]}`:                      strictjson.ErrMemberTwice,
		`{"a":1,"b":[{"c":{"d":1,"e":2,"d":3}}]}`:    strictjson.ErrMemberTwice,
		`[[[{"a":{"b":1}}, {"a":[],"a":[]}]]]`:       strictjson.ErrMemberTwice,
		`{"a":{"x":1},"b":{"x":1},"c":1,"b":[{"x"]}`: strictjson.ErrSyntax,
		``:                        strictjson.ErrSyntax,
		`{"a":1}{}`:               strictjson.ErrSyntax,
		"{\"a\":\"\xff\"}":        strictjson.ErrNotUTF8,
		strings.Repeat("[", 8000): strictjson.ErrSyntax,
	} {
		if got := strictjson.Check([]byte(body)); !errors.Is(got, want) || (want == nil && got != nil) {
			t.Errorf("%.80s: got %v, expected %v", body, got, want)
		}
	}
}

func TestCheckOfDeepBody(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 9000) + `{"b":1,"b":1}` + strings.Repeat("}", 9000)
	if err := strictjson.Check([]byte(deep)); !errors.Is(err, strictjson.ErrMemberTwice) {
		t.Errorf("got %v, expected ErrMemberTwice", err)
	}
}

// A body that encoding/json wrote passes, and fails once one of its members is there again, at any depth.
func TestCheckOfRandomBodies(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := randomValue(3).Draw(t, "value")
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if err := strictjson.Check(text); err != nil {
			t.Fatalf("%s: got %v, expected no error", text, err)
		}
		var ends []int // of objects with members
		for i, c := range string(text) {
			if c == '}' && text[i-1] != '{' {
				ends = append(ends, i)
			}
		}
		if len(ends) == 0 {
			return
		}
		end := rapid.SampledFrom(ends).Draw(t, "end")
		twice := string(text[:end]) + `,"again":1,"again":2` + string(text[end:])
		if err := strictjson.Check([]byte(twice)); !errors.Is(err, strictjson.ErrMemberTwice) {
			t.Fatalf("%s: got %v, expected ErrMemberTwice", twice, err)
		}
	})
}

// randomValue makes JSON values without braces in their strings.
func randomValue(depth int) *rapid.Generator[any] {
	word := rapid.StringMatching(`[a-cä"]{0,2}`)
	if depth == 0 {
		return rapid.Custom(func(t *rapid.T) any { return word.Draw(t, "word") })
	}
	return rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			return rapid.MapOfN(word, randomValue(depth-1), 0, 3).Draw(t, "object")
		case 1:
			return rapid.SliceOfN(randomValue(depth-1), 0, 3).Draw(t, "array")
		}
		return rapid.Int().Draw(t, "number")
	})
}

func TestMembers(t *testing.T) {
	t.Parallel()
	members, unique := strictjson.Members([]byte(`{"a": {"x":1,"x":2}, "b": [1]}`))
	if !unique || len(members) != 2 || string(members["b"]) != "[1]" {
		t.Errorf("got %s, unique: %v, expected a and b", members, unique)
	}
	if members, unique = strictjson.Members([]byte(`{"a":1,"\u0061":2}`)); unique || string(members["a"]) != "2" {
		t.Errorf("got %s, unique: %v, expected a twice", members, unique)
	}
	if members, _ = strictjson.Members([]byte(`[1]`)); members != nil {
		t.Errorf("got %s, expected nil for an array", members)
	}
}
