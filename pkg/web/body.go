package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"flashsale/pkg/strictjson"
)

// maxBody limits the body of a page's request, in bytes.
const maxBody = 4 << 10

var errNotJSON = errors.New("the request needs Content-Type: application/json")

// ReadJSON reads the body of a page's own request, at most 4 KiB, and refuses unknown members. Only a page of this origin can
// send JSON without a preflight request.
func ReadJSON(w http.ResponseWriter, r *http.Request, into any) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return errNotJSON
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return err
	}
	if err := strictjson.Check(body); err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}
