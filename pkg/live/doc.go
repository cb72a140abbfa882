// Package live serves the operator's page, /live/: stock, traffic, money owed, the audit and the latest orders as they change.
//
// src/ has the page's sources; `make pages` bundles them into static/, so that `go build` needs no Node.js.
package live
