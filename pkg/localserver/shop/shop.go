// Package shop is the storefront of `flashsale run`, at /shop/. It shows how a page uses the API: its scripts know the
// contract by types that are generated from docs/openapi.yaml.
//
// The page is static and calls /v1 as any client does. Two routes exist only on a developer's machine: [Options.Issuer]
// lets a shopper sign in by name, and [Options.Sandbox] plays the payment provider. Their requests must come from the
// page itself.
//
// src/ has the page's sources; `make pages` bundles them into static/, so that `go build` needs no Node.js.
package shop

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"strings"

	"flashsale/pkg/money"
	"flashsale/pkg/payments"
	"flashsale/pkg/signin"
	"flashsale/pkg/web"
)

// Path is the address of the shop on the server.
const Path = "/shop/"

//go:embed static
var files embed.FS

// Options are what the shop offers beside the API.
type Options struct {
	// Issuer signs shoppers in by name; nil: they bring a token of the shop's identity provider.
	Issuer *signin.Development
	// SignInNeeded says that holds and orders need sign-in.
	SignInNeeded bool
	// Sandbox signs the events of a pretended payment provider; nil: there is none.
	Sandbox *payments.Standard
}

// Register adds the shop's routes. api serves the contract, and is called in-process.
func Register(mux *http.ServeMux, api http.Handler, o Options) {
	static, _ := fs.Sub(files, "static") // fails only for an invalid name
	pages := http.StripPrefix(Path, http.FileServerFS(static))
	mux.HandleFunc("GET "+Path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", web.ContentPolicy)
		pages.ServeHTTP(w, r)
	})
	mux.Handle("GET "+strings.TrimSuffix(Path, "/"), http.RedirectHandler(Path, http.StatusMovedPermanently))
	settings := settingsOf(o)
	mux.HandleFunc("GET "+Path+"settings", func(w http.ResponseWriter, _ *http.Request) { respond(w, http.StatusOK, settings) })
	ownPage := http.NewCrossOriginProtection() // no other site may spend the sandbox's money or sign in
	if o.Issuer != nil {
		mux.Handle("POST "+Path+"token", ownPage.Handler(tokens{o.Issuer}))
	}
	if o.Sandbox != nil {
		mux.Handle("POST "+Path+"sandbox", ownPage.Handler(sandbox{api, o.Sandbox}))
	}
}

// settings tell the page what the server offers.
type settings struct {
	Sandbox      bool           `json:"sandbox"`
	SignInByName bool           `json:"sign_in_by_name"`
	SignInNeeded bool           `json:"sign_in_needed"`
	Decimals     map[string]int `json:"decimals"` // of currencies that do not have two
}

func settingsOf(o Options) settings {
	return settings{Sandbox: o.Sandbox != nil, SignInByName: o.Issuer != nil, SignInNeeded: o.SignInNeeded, Decimals: money.NotHundredths()}
}

// refuse tells the page what it did wrong.
func refuse(w http.ResponseWriter, status int, detail string) {
	respond(w, status, map[string]any{"status": status, "detail": detail})
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only if the client is gone
}
