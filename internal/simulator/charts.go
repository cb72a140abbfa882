package simulator

import (
	"cmp"
	"html/template"
	"image/color"
	"maps"
	"math"
	"slices"

	"flashsale/internal/chart"
)

// The sizes of the charts, in points: two of the smaller stand side by side.
var (
	wide = chart.Size{Width: 760, Height: 270}
	half = chart.Size{Width: 480, Height: 290}
)

// opening is what the first chart shows closely: the first seconds, in which a sale is decided.
const opening = 10.0

type drawing interface {
	SVG(size chart.Size) ([]byte, error)
}

// svg draws a chart for the page.
func svg(d drawing, size chart.Size) (template.HTML, error) {
	text, err := d.SVG(size)
	return template.HTML(text), err //nolint:gosec // G203: our own chart, whose texts are escaped by its writer
}

// stockChart shows where the units were, until a given second.
func (r *Report) stockChart(title string, until float64) chart.Lines {
	var available, held, sold []chart.Point
	for _, s := range r.Stock {
		if s.At > until {
			break
		}
		available = append(available, chart.Point{X: s.At, Y: float64(s.Available)})
		held = append(held, chart.Point{X: s.At, Y: float64(s.Held)})
		sold = append(sold, chart.Point{X: s.At, Y: float64(s.Sold)})
	}
	return chart.Lines{Title: title, X: "seconds since the opening", Y: "units", Max: float64(r.Sale.Stock), Series: []chart.Series{
		{Name: "available", Color: chart.Blue, Points: available, Filled: true},
		{Name: "held or ordered", Color: chart.Amber, Points: held, Filled: true},
		{Name: "sold", Color: chart.Green, Points: sold, Filled: true},
	}}
}

// perSecond turns the ticks into rates of what is counted in them.
func (r *Report) perSecond(count func(m Moment) int) []chart.Point {
	points := make([]chart.Point, 0, len(r.Moments))
	from := 0.0
	for _, m := range r.Moments {
		if m.At > from {
			points = append(points, chart.Point{X: m.At, Y: float64(count(m)) / (m.At - from)})
		}
		from = m.At
	}
	return points
}

var answerColors = map[string]color.Color{"sold_out": chart.Orange, "no_answer": chart.Grey, "busy": chart.Purple, "internal": chart.Red}

// requestsChart shows the load, and what of it was refused.
func (r *Report) requestsChart() chart.Lines {
	c := chart.Lines{Title: "Requests and refusals", X: "seconds since the opening", Y: "a second", Series: []chart.Series{
		{Name: "all requests", Color: chart.Blue, Points: r.perSecond(func(m Moment) int { return m.Requests }), Filled: true},
	}}
	for _, code := range slices.Sorted(maps.Keys(r.Figures.Refusals)) {
		in := answerColors[code]
		if in == nil {
			in = chart.Teal
		}
		c.Series = append(c.Series, chart.Series{Name: code, Color: in, Points: r.perSecond(func(m Moment) int { return m.Answers[code] })})
	}
	return c
}

// waitingChart shows how long steps took, when they ended.
func (r *Report) waitingChart() chart.Lines {
	var p50, p99 []chart.Point
	for _, m := range r.Moments {
		p50 = append(p50, chart.Point{X: m.At, Y: m.P50})
		p99 = append(p99, chart.Point{X: m.At, Y: m.P99})
	}
	return chart.Lines{Title: "Time of a step, waiting included", X: "seconds since the opening", Y: "milliseconds", LogY: true, Series: []chart.Series{
		{Name: "p50", Color: chart.Blue, Points: p50}, {Name: "p99", Color: chart.Orange, Points: p99},
	}}
}

// latencyChart compares the operations.
func (r *Report) latencyChart() chart.Bars {
	c := chart.Bars{Title: "Time of a step by operation, waiting included", Axis: "milliseconds", Log: true, Series: []chart.Values{
		{Name: "p50", Color: chart.Blue}, {Name: "p90", Color: chart.Teal}, {Name: "p99", Color: chart.Orange}, {Name: "p99.9", Color: chart.Red},
	}}
	for _, o := range r.Operations {
		if o.StepMS.Count == 0 {
			continue
		}
		c.Groups = append(c.Groups, string(o.Operation))
		for i, v := range []float64{o.StepMS.P50, o.StepMS.P90, o.StepMS.P99, o.StepMS.P999} {
			c.Series[i].Values = append(c.Series[i].Values, math.Max(v, 0.01))
		}
	}
	return c
}

// outcomesChart shows how the visits ended, the most frequent first.
func (r *Report) outcomesChart() chart.Bars {
	list := slices.Clone(r.Outcomes)
	slices.SortStableFunc(list, func(a, b Outcome) int { return cmp.Compare(b.Shoppers, a.Shoppers) })
	c := chart.Bars{Title: "How the visits ended", Axis: "shoppers (a logarithmic axis)", Horizontal: true, Log: true, Series: []chart.Values{{Color: chart.Blue}}}
	for _, o := range list {
		c.Groups = append(c.Groups, o.Name)
		c.Series[0].Values = append(c.Series[0].Values, float64(o.Shoppers))
	}
	return c
}
