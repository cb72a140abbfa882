package simulator

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net"
	"net/url"
	"strconv"
	"time"

	"flashsale/pkg/web"
)

// The page is in the program with the chart library, so that the report is one file that loads nothing.
var (
	//go:embed page/page.html.tmpl
	pageText string
	//go:embed page/page.css
	pageCSS template.CSS
	//go:embed page/charts.js
	chartsJS template.JS
)

// The library is a file of the project, so the template may write it as it is.
var (
	chartLibrary = template.JS(web.UPlotScript) //nolint:gosec // a file of the project
	chartStyle   = template.CSS(web.UPlotStyle) //nolint:gosec // the same
)

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"count": count[int], "count64": count[int64], "ms": Milliseconds,
	"rate": func(perSecond float64) string { return count(int64(perSecond)) },
	"duration": func(s float64) string {
		return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
	},
	"percent": func(part float64) string { return fmt.Sprintf("%.0f%%", part*100) },
	"share":   func(part, of int) float64 { return 100 * float64(part) / float64(max(of, 1)) },
	"gib":     func(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) },
	"more":    func(c Check) int { return c.Broken - len(c.Evidence) },
}).Parse(pageText))

// count writes a number with thousands separators.
func count[T int | int64](n T) string {
	text := strconv.FormatInt(int64(n), 10)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// Milliseconds writes a duration with three digits, in seconds from one second on.
func Milliseconds(ms float64) string {
	switch {
	case ms >= 10_000:
		return fmt.Sprintf("%.1f s", ms/1000)
	case ms >= 1000:
		return fmt.Sprintf("%.2f s", ms/1000)
	case ms >= 100 || ms == 0:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 10:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.2f ms", ms)
}

// chartData is the input of charts.js, with the names of the JSON report.
type chartData struct {
	Stock    []Sample       `json:"stock"`
	Moments  []Moment       `json:"moments"`
	Refusals map[string]int `json:"refusals"`
}

// sharesMachine reports whether the server ran on the shoppers' machine, by its address.
func (r *Report) sharesMachine() bool {
	u, err := url.Parse(r.URL)
	return err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

// HTML writes the report as one web page. jsonFile is the name of the JSON report in the same folder.
func (r *Report) HTML(jsonFile string) ([]byte, error) {
	var out bytes.Buffer
	err := page.Execute(&out, struct {
		*Report
		CSS           []template.CSS
		UPlot, Script template.JS
		Data          chartData
		SharesMachine bool
		JSONFile      string
	}{r, []template.CSS{chartStyle, pageCSS}, chartLibrary, chartsJS, chartData{r.Stock, r.Moments, r.Figures.Refusals}, r.sharesMachine(), jsonFile})
	if err != nil {
		return nil, fmt.Errorf("writing the report as a web page: %w", err)
	}
	return out.Bytes(), nil
}
