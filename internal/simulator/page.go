package simulator

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// The page and the chart library are in the program, so that the report is one file that loads nothing.
var (
	//go:embed page/page.html.tmpl
	pageText string
	//go:embed page/page.css
	pageCSS template.CSS
	//go:embed page/charts.js
	chartsJS template.JS
	//go:embed page/uplot/uPlot.min.css
	uplotCSS template.CSS
	//go:embed page/uplot/uPlot.iife.min.js
	uplotJS template.JS
)

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"count": count[int], "count64": count[int64], "ms": Milliseconds,
	"rate": func(perSecond float64) string { return count(int64(perSecond)) },
	"duration": func(s float64) string {
		return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
	},
	"percent": func(part float64) string { return fmt.Sprintf("%.0f%%", part*100) },
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

// chart is a chart over time, which charts.js draws.
type chart struct {
	Title  string    `json:"title"`
	Unit   string    `json:"unit"` // of the values; "ms" is written as a duration
	Log    bool      `json:"log"`
	Fill   bool      `json:"fill"`
	Wide   bool      `json:"wide"`
	X      []float64 `json:"x"` // seconds since the opening
	Series []series  `json:"series"`
}

type series struct {
	Name   string    `json:"name"`
	Values []float64 `json:"values"`
}

// column takes one value from each row.
func column[R any](rows []R, value func(R) float64) []float64 {
	values := make([]float64, len(rows))
	for i, row := range rows {
		values[i] = value(row)
	}
	return values
}

func (r *Report) stockChart(title string, samples []Sample) chart {
	return chart{
		Title: title, Unit: "units", Fill: true, X: column(samples, func(s Sample) float64 { return s.At }),
		Series: []series{
			{"available", column(samples, func(s Sample) float64 { return float64(s.Available) })},
			{"held or ordered", column(samples, func(s Sample) float64 { return float64(s.Held) })},
			{"sold", column(samples, func(s Sample) float64 { return float64(s.Sold) })},
		},
	}
}

// perSecond turns a count per tick into a rate.
func (r *Report) perSecond(count func(m Moment) int) []float64 {
	rates, from := make([]float64, len(r.Moments)), 0.0
	for i, m := range r.Moments {
		rates[i] = float64(count(m)) / max(m.At-from, shortestTick.Seconds())
		from = m.At
	}
	return rates
}

// mostRefusals is how many refusals have a line of their own in the chart.
const mostRefusals = 3

func (r *Report) requestsChart() chart {
	c := chart{Title: "Requests and refusals", Unit: "per second", Wide: true, X: r.seconds(), Series: []series{
		{"all requests", r.perSecond(func(m Moment) int { return m.Requests })},
	}}
	codes := slices.SortedFunc(maps.Keys(r.Figures.Refusals), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Figures.Refusals[b], r.Figures.Refusals[a]), cmp.Compare(a, b))
	})
	own := codes[:min(len(codes), mostRefusals)]
	for _, code := range own {
		c.Series = append(c.Series, series{code, r.perSecond(func(m Moment) int { return m.Answers[code] })})
	}
	if others := codes[len(own):]; len(others) > 0 {
		c.Series = append(c.Series, series{"other refusals", r.perSecond(func(m Moment) (n int) {
			for _, code := range others {
				n += m.Answers[code]
			}
			return n
		})})
	}
	return c
}

func (r *Report) timeChart(title string, step, waiting, server func(m Moment) float64) chart {
	return chart{Title: title, Unit: "ms", Log: true, X: r.seconds(), Series: []series{
		{"whole step", column(r.Moments, step)}, {"wait for a connection", column(r.Moments, waiting)}, {"server", column(r.Moments, server)},
	}}
}

func (r *Report) seconds() []float64 {
	return column(r.Moments, func(m Moment) float64 { return m.At })
}

func (r *Report) charts() []chart {
	first := slices.IndexFunc(r.Stock, func(s Sample) bool { return s.At > opening.Seconds() })
	if first < 0 {
		first = len(r.Stock)
	}
	stock := r.stockChart("The first ten seconds", r.Stock[:first])
	stock.Wide = true
	return []chart{
		stock,
		r.stockChart("The whole sale", r.Stock),
		{Title: "Active shoppers", Unit: "shoppers", Fill: true, X: r.seconds(), Series: []series{
			{"active", column(r.Moments, func(m Moment) float64 { return float64(m.Active) })},
		}},
		r.timeChart("Where the time goes: median (p50)", func(m Moment) float64 { return m.P50 },
			func(m Moment) float64 { return m.WaitingP50 }, func(m Moment) float64 { return m.ServerP50 }),
		r.timeChart("Where the time goes: slowest 1 % (p99)", func(m Moment) float64 { return m.P99 },
			func(m Moment) float64 { return m.WaitingP99 }, func(m Moment) float64 { return m.ServerP99 }),
		r.requestsChart(),
	}
}

// endingBar is one kind of ending, with its share of the most frequent one.
type endingBar struct {
	Outcome
	Percent float64
}

func (r *Report) endingBars() []endingBar {
	list := slices.SortedStableFunc(slices.Values(r.Outcomes), func(a, b Outcome) int { return cmp.Compare(b.Shoppers, a.Shoppers) })
	bars := make([]endingBar, len(list))
	for i, o := range list {
		bars[i] = endingBar{o, 100 * float64(o.Shoppers) / float64(list[0].Shoppers)}
	}
	return bars
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
		Charts        []chart
		Endings       []endingBar
		SharesMachine bool
		JSONFile      string
	}{r, []template.CSS{uplotCSS, pageCSS}, uplotJS, chartsJS, r.charts(), r.endingBars(), r.sharesMachine(), jsonFile})
	if err != nil {
		return nil, fmt.Errorf("writing the report as a web page: %w", err)
	}
	return out.Bytes(), nil
}
