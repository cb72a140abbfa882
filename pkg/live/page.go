package live

import (
	"embed"
	"io/fs"
	"net/http"
)

// Path is the address of the page on its server.
const Path = "/live/"

// contentPolicy allows the page its own files and requests to this server.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed static
var files embed.FS

// Page serves the files of the page, below Path. The page speaks with the other routes of Path.
func Page() http.Handler {
	static, _ := fs.Sub(files, "static") // fails only for an invalid name
	pages := http.StripPrefix(Path, http.FileServerFS(static))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", contentPolicy)
		pages.ServeHTTP(w, r)
	})
}
