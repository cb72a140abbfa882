// Package web has what the project's pages share: the chart library uPlot, the rules that a browser gets for a page, and how a page's requests are read.
//
// src/ has the shared sources in TypeScript and CSS: colours and type, elements, the server's clock, amounts of money.
// `make pages` bundles them with the sources of each page, so that `go build` needs no Node.js. It also copies uPlot from
// its npm package, unchanged.
package web

import _ "embed" // for the files of uPlot

// uPlot draws charts on a canvas: https://github.com/leeoniya/uPlot (MIT).
var (
	// UPlotScript defines the global uPlot. Its first line names the version and the licence.
	//go:embed uplot/uPlot.iife.min.js
	UPlotScript string
	// UPlotStyle belongs to the script.
	//go:embed uplot/uPlot.min.css
	UPlotStyle string
	// UPlotLicence must accompany the script.
	//go:embed uplot/LICENSE
	UPlotLicence string
)

// ContentPolicy is the Content-Security-Policy of a page: it allows the page's own files and requests to its own server.
const ContentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
