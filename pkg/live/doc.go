// Package live serves the operator's page, /live/: the stock of each product over the last minutes, requests and refusals, money owed, the
// audit and the latest orders. From it the operator pauses, ends and changes a sale.
//
// [Live] samples an [Operator] for the stock and a [Traffic] for the requests, and keeps ten minutes of samples in memory. Each open page
// is a stream of server-sent events. The page works the same for a server of this machine and for a deployed stack: only the sources and
// their intervals differ.
//
// The page has no sign-in. So it takes requests of this machine only, by the client's address and by the name that the client used
// (guard.go), and changes only from its own pages.
//
// src/ has the page's sources; `make pages` bundles them into static/, so that `go build` needs no Node.js.
package live
