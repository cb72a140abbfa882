package shop

import (
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"flashsale/pkg/signin"
	"flashsale/pkg/web"
)

const (
	tokenTTL = 8 * time.Hour // a day at the shop
	maxName  = 64            // characters
)

// tokens signs a shopper in by name, as `flashsale token` does.
type tokens struct{ issuer *signin.Development }

func (t tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Name string `json:"name"`
	}
	if err := web.ReadJSON(w, r, &request); err != nil {
		refuse(w, http.StatusBadRequest, "The request cannot be read: "+err.Error())
		return
	}
	name := strings.TrimSpace(request.Name)
	if name == "" || utf8.RuneCountInString(name) > maxName {
		refuse(w, http.StatusUnprocessableEntity, "A name has 1 to 64 characters.")
		return
	}
	token, err := t.issuer.Token(name, tokenTTL)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "The token could not be signed.")
		return
	}
	respond(w, http.StatusOK, map[string]string{"name": name, "token": token})
}
