package main

import (
	"math"

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
	hot := chart{title: "Holds per second of one product, 64 callers", series: designs}
	responses := chart{title: "Responses per second, 64 callers", series: []string{"hold accepted", "hold refused: sold out", "product read"}}
	for _, d := range r.Databases() {
		for _, link := range links {
			hot.groups = append(hot.groups, d+", "+link)
		}
		responses.groups = append(responses.groups, d)
	}
	for _, design := range designs {
		var values []float64
		for _, d := range r.Databases() {
			for _, link := range links {
				values = append(values, r.record("hot", d).median(hotCase(link, 64, design), "holds/s"))
			}
		}
		hot.values = append(hot.values, values)
	}
	for _, of := range [][3]string{{"soldout", "accepted", "responses/s"}, {"soldout", "refused", "responses/s"}, {"reads", "reads only", "reads/s"}} {
		var values []float64
		for _, d := range r.Databases() {
			values = append(values, r.record(of[0], d).median(of[1], of[2]))
		}
		responses.values = append(responses.values, values)
	}
	return map[string]chart{"hot.svg": hot, "responses.svg": responses}
}

// svg draws the chart on white, so that it is readable on dark pages, too.
func (c chart) svg() ([]byte, error) {
	painter := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: 720, Height: 90 + len(c.groups)*(16+18*len(c.series))})
	for _, row := range c.values {
		for i, v := range row {
			if math.IsNaN(v) {
				row[i] = charts.GetNullValue()
			}
		}
	}
	o := charts.NewBarChartOptionWithData(c.values)
	o.Horizontal = true
	o.Title.Text = c.title
	o.Legend = charts.LegendOption{SeriesNames: c.series, Offset: charts.OffsetStr{Left: charts.PositionRight}}
	o.CategoryAxis.Labels = c.groups
	o.ValueFormatter = number
	for i := range o.SeriesList {
		o.SeriesList[i].Label = charts.SeriesLabel{Show: charts.Ptr(true), ValueFormatter: number}
	}
	if err := painter.BarChart(o); err != nil {
		return nil, err
	}
	return painter.Bytes()
}
