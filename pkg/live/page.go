package live

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"flashsale/pkg/web"
)

// Path is the address of the page on its server.
const Path = "/live/"

//go:embed static
var files embed.FS

// Page serves the files of the page, below Path. The page speaks with the other routes of Path.
func Page() http.Handler {
	static, _ := fs.Sub(files, "static") // fails only for an invalid name
	mux := http.NewServeMux()
	mux.Handle("GET "+Path, http.StripPrefix(Path, http.FileServerFS(static)))
	for name, text := range map[string]string{"uplot.js": web.UPlotScript, "uplot.LICENSE": web.UPlotLicence} {
		mux.HandleFunc("GET "+Path+name, func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, name, time.Time{}, strings.NewReader(text))
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", web.ContentPolicy)
		mux.ServeHTTP(w, r)
	})
}
