package simulator

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"time"

	"flashsale/internal/chart"
)

//go:embed report.html.tmpl
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"number": chart.Number,
	"ms": func(v float64) string {
		if v >= 1000 {
			return fmt.Sprintf("%.2f s", v/1000)
		}
		return chart.Number(v) + " ms"
	},
	"duration": func(s float64) string {
		return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
	},
	"percent": func(part float64) string { return fmt.Sprintf("%.0f%%", part*100) },
	"more":    func(c Check) int { return c.Broken - len(c.Evidence) },
}).Parse(pageText))

// HTML writes the report as one page that needs nothing else: no script, no font, no picture from anywhere.
func (r *Report) HTML() ([]byte, error) {
	var errs []error
	draw := func(d drawing, size chart.Size) template.HTML {
		text, err := svg(d, size)
		errs = append(errs, err)
		return text
	}
	data := struct {
		*Report
		Opening, Stock, Requests, Waiting, Latency, Endings template.HTML
	}{
		Report:   r,
		Opening:  draw(r.stockChart("The first ten seconds", opening), wide),
		Stock:    draw(r.stockChart("The whole sale", r.Figures.PlayedS+60), half),
		Requests: draw(r.requestsChart(), half),
		Waiting:  draw(r.waitingChart(), half),
		Latency:  draw(r.latencyChart(), wide),
		Endings:  draw(r.outcomesChart(), half),
	}
	var out bytes.Buffer
	errs = append(errs, page.Execute(&out, data))
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("writing the report as a web page: %w", err)
	}
	return out.Bytes(), nil
}
