package chart

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Values is one bar of every group.
type Values struct {
	Name   string
	Color  color.Color // nil: the next of the palette
	Values []float64   // one a group; NaN is no bar
}

// Bars is a chart of groups of bars, each with its number.
type Bars struct {
	Title      string
	Axis       string // what the axis of values says, with the unit
	Log        bool
	Horizontal bool // groups from top to bottom, for names that are long
	Groups     []string
	Series     []Values
	Label      func(v float64) string // how a bar's number is written; nil: Number
}

// SVG draws the chart for a web page.
func (b Bars) SVG(size Size) ([]byte, error) {
	f, err := b.figure()
	if err != nil {
		return nil, err
	}
	return f.svg(size)
}

// PNG draws the chart for a document.
func (b Bars) PNG(size Size) ([]byte, error) {
	f, err := b.figure()
	if err != nil {
		return nil, err
	}
	return f.png(size)
}

func (b Bars) figure() (*figure, error) {
	if b.Label == nil {
		b.Label = Number
	}
	f := newFigure(b.Title, "", b.Axis)
	values, groups := &f.plot.Y, &f.plot.X
	if b.Horizontal {
		values, groups = groups, values
		values.Label.Text, groups.Label.Text = b.Axis, ""
	}
	low, high := math.Inf(1), math.Inf(-1)
	for i, s := range b.Series {
		if len(s.Values) != len(b.Groups) {
			return nil, fmt.Errorf("drawing the chart %q: %q has %d values for %d groups", b.Title, s.Name, len(s.Values), len(b.Groups))
		}
		f.legend = append(f.legend, entry{s.Name, colorOf(s.Color, i)})
		for _, v := range s.Values {
			if !math.IsNaN(v) && (v > 0 || !b.Log) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if b.Log { // room below, so that the smallest bar can be seen, and above for its number
		scale(values, true, low/2, high*1.3, true)
	} else {
		scale(values, false, low, high*1.1, true)
	}
	ticks := make([]plot.Tick, len(b.Groups))
	for i, name := range b.Groups {
		ticks[i] = plot.Tick{Value: b.position(i), Label: name}
	}
	groups.Min, groups.Max = -0.5, float64(max(len(b.Groups), 1))-0.5
	groups.Tick.Marker, groups.Tick.Length = plot.ConstantTicks(ticks), 0
	lines := plotter.NewGrid()
	style := draw.LineStyle{Color: grid, Width: vg.Points(0.5)}
	lines.Vertical.Color, lines.Horizontal = nil, style
	if b.Horizontal {
		lines.Horizontal.Color, lines.Vertical = nil, style
	}
	f.plot.Add(lines, b)
	return f, nil
}

// position returns where a group stands; from top to bottom the first is the highest.
func (b Bars) position(group int) float64 {
	if b.Horizontal {
		return float64(len(b.Groups) - 1 - group)
	}
	return float64(group)
}

// Plot draws the bars (plot.Plotter). gonum's own bars begin at zero, which has no place on a logarithmic axis.
func (b Bars) Plot(c draw.Canvas, p *plot.Plot) {
	groups, values := p.Transforms(&c)
	zero := p.Y.Min
	if b.Horizontal {
		groups, values, zero = values, groups, p.X.Min
	}
	if !b.Log {
		zero = 0
	}
	slot := (groups(1) - groups(0)) * 0.8 / vg.Length(max(len(b.Series), 1))
	for i, s := range b.Series {
		in := colorOf(s.Color, i)
		for group, v := range s.Values {
			if math.IsNaN(v) || (b.Log && v <= 0) {
				continue
			}
			middle := groups(b.position(group)) + slot*vg.Length(float64(i)-float64(len(b.Series)-1)/2)*b.direction()
			b.bar(c, in, middle, slot*0.88, values(zero), values(v), b.Label(v))
		}
	}
}

// direction keeps the series of a group in order when groups run from top to bottom.
func (b Bars) direction() vg.Length {
	if b.Horizontal {
		return -1
	}
	return 1
}

func (b Bars) bar(c draw.Canvas, in color.Color, middle, width, from, to vg.Length, label string) {
	text := draw.TextStyle{Color: ink, Font: sans(textSize - 1.5), Handler: plot.DefaultTextHandler}
	if b.Horizontal {
		fillRectangle(c, in, from, middle-width/2, to, middle+width/2)
		text.YAlign = draw.YCenter
		c.FillText(text, vg.Point{X: to + 3, Y: middle}, label)
		return
	}
	fillRectangle(c, in, middle-width/2, from, middle+width/2, to)
	text.XAlign = draw.XCenter
	c.FillText(text, vg.Point{X: middle, Y: to + 2}, label)
}
