package main

import (
	"math"
	"slices"

	"github.com/go-analyze/charts"
)

// chart is a group of bars per name, with a bar per series.
type chart struct {
	title  string
	groups []string
	series []string
	values [][]float64 // by series, then group
}

// reportCharts are the pictures of a report by file name.
func reportCharts(r *report) map[string]chart {
	hot := chart{title: "Holds per second of one product, 64 callers", series: designs, values: make([][]float64, len(designs))}
	responses := chart{title: "Responses per second, 64 callers", series: []string{"hold accepted", "hold refused: sold out", "product read"}, values: make([][]float64, 3)}
	// The library draws the first group at the bottom.
	for _, d := range slices.Backward(r.Databases()) {
		for _, link := range slices.Backward(links) {
			hot.groups = append(hot.groups, d+", "+link)
			for i, design := range designs {
				hot.values[i] = append(hot.values[i], value(r.Record("hot", d), hotCase(link, 64, design), "calls/s"))
			}
		}
		responses.groups = append(responses.groups, d)
		for i, of := range []string{"accepted", "refused", "reads"} {
			responses.values[i] = append(responses.values[i], value(r.Record("http", d), of, "calls/s"))
		}
	}
	return map[string]chart{"hot.png": hot, "responses.png": responses}
}

// value is a median for a chart, which leaves out what was not measured.
func value(one *Record, name, quantity string) float64 {
	if v := one.median(name, quantity); !math.IsNaN(v) {
		return v
	}
	return charts.GetNullValue()
}

// png draws the chart. Its labels say the values, so it has no axis for them.
func (c chart) png() ([]byte, error) {
	painter := charts.NewPainter(charts.PainterOptions{Width: 760, Height: 100 + len(c.groups)*(16+20*len(c.series))})
	o := charts.NewBarChartOptionWithData(c.values)
	o.Horizontal = true
	o.Padding = charts.NewBox(20, 20, 70, 0)
	o.Title.Text = c.title
	o.Legend = charts.LegendOption{SeriesNames: c.series, Offset: charts.OffsetStr{Left: charts.PositionCenter, Top: "32"}}
	o.CategoryAxis.Labels = c.groups
	o.ValueAxis = []charts.ValueAxisOption{{Show: charts.Ptr(false), Min: charts.Ptr(0.0)}}
	for i := range o.SeriesList {
		o.SeriesList[i].Label = charts.SeriesLabel{Show: charts.Ptr(true), ValueFormatter: number}
	}
	if err := painter.BarChart(o); err != nil {
		return nil, err
	}
	return painter.Bytes()
}
