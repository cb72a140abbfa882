package api

import (
	"encoding/base64"

	"flashsale/pkg/checkout"
)

// page selects one page of a list.
type page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"Entries per page."`
	Cursor string `query:"cursor" maxLength:"128" doc:"The next_cursor of the previous page. Empty for the first page."`
}

var errCursor = checkout.Invalid("cursor", "expected the next_cursor of an earlier page")

// text returns the text from which nextCursor made the cursor.
func (p page) text() (string, error) {
	text, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil {
		return "", errCursor
	}
	return string(text), nil
}

// id returns the id from which nextID made the cursor; nil for the first page.
func (p page) id() (*checkout.ID, error) {
	text, err := p.text()
	if err != nil || text == "" {
		return nil, err
	}
	id, ok := checkout.ParseHoldID(text)
	if !ok {
		return nil, errCursor
	}
	return &id, nil
}

// nextCursor encodes the entry before the next page, so that no client builds a cursor itself.
func nextCursor(after string) *string {
	cursor := base64.RawURLEncoding.EncodeToString([]byte(after))
	return &cursor
}

// nextID is nextCursor for an id; nil if there is no next page.
func nextID(next *checkout.ID) *string {
	if next == nil {
		return nil
	}
	return nextCursor(next.HoldID())
}
