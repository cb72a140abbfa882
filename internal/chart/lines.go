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

// Point is one measurement. A Y that is NaN is a gap in the line.
type Point struct{ X, Y float64 }

// Series is one line.
type Series struct {
	Name   string
	Color  color.Color // nil: the next of the palette
	Points []Point     // by rising X
	Filled bool        // the area below it as well, pale
	Dashed bool
	Dots   bool // a dot at every point
}

// Lines is a chart of lines.
type Lines struct {
	Title  string
	X, Y   string // what the axes say, with the unit
	LogX   bool   // values that have no logarithm are gaps
	LogY   bool
	Max    float64 // the least that the Y axis reaches to
	Series []Series
}

// SVG draws the chart for a web page.
func (l Lines) SVG(size Size) ([]byte, error) {
	f, err := l.figure()
	if err != nil {
		return nil, err
	}
	return f.svg(size)
}

// PNG draws the chart for a document.
func (l Lines) PNG(size Size) ([]byte, error) {
	f, err := l.figure()
	if err != nil {
		return nil, err
	}
	return f.png(size)
}

func (l Lines) figure() (*figure, error) {
	f := newFigure(l.Title, l.X, l.Y)
	xLow, xHigh, yLow, yHigh := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for i, s := range l.Series {
		in := colorOf(s.Color, i)
		f.legend = append(f.legend, entry{s.Name, in})
		for _, part := range l.parts(s.Points) {
			for _, p := range part {
				xLow, xHigh = min(xLow, p.X), max(xHigh, p.X)
				yLow, yHigh = min(yLow, p.Y), max(yHigh, p.Y)
			}
			if err := f.add(s, in, part); err != nil {
				return nil, fmt.Errorf("drawing the chart %q: %w", l.Title, err)
			}
		}
	}
	scale(&f.plot.X, l.LogX, xLow, xHigh, false)
	scale(&f.plot.Y, l.LogY, yLow, max(yHigh, l.Max), true)
	lines := plotter.NewGrid()
	lines.Vertical.Color = nil
	lines.Horizontal = draw.LineStyle{Color: grid, Width: vg.Points(0.5)}
	f.plot.Add(lines)
	return f, nil
}

// parts cuts a line where it has a gap.
func (l Lines) parts(points []Point) (parts []plotter.XYs) {
	var part plotter.XYs
	for _, p := range points {
		gap := math.IsNaN(p.Y) || math.IsInf(p.Y, 0) || (l.LogY && p.Y <= 0) || (l.LogX && p.X <= 0)
		if !gap {
			part = append(part, plotter.XY(p))
		} else if len(part) > 0 {
			parts, part = append(parts, part), nil
		}
	}
	if len(part) > 0 {
		parts = append(parts, part)
	}
	return parts
}

func (f *figure) add(s Series, in color.Color, part plotter.XYs) error {
	line, err := plotter.NewLine(part)
	if err != nil {
		return err
	}
	line.Color, line.Width = in, vg.Points(lineWidth)
	if s.Dashed {
		line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	}
	if s.Filled {
		r, g, b, _ := in.RGBA()
		line.FillColor = color.NRGBA{R: uint8(r >> 8), G: uint8(g >> 8), B: uint8(b >> 8), A: 0x28} //nolint:gosec // G115: the upper 8 of 16 bits
	}
	f.plot.Add(line)
	if s.Dots || len(part) == 1 {
		dots, err := plotter.NewScatter(part)
		if err != nil {
			return err
		}
		dots.GlyphStyle = draw.GlyphStyle{Color: in, Radius: vg.Points(2.2), Shape: draw.CircleGlyph{}}
		f.plot.Add(dots)
	}
	return nil
}

// scale sets an axis to the range of what it shows. A linear one of amounts begins at zero.
func scale(axis *plot.Axis, logarithmic bool, low, high float64, amounts bool) {
	if logarithmic {
		axis.Scale, axis.Tick.Marker = plot.LogScale{}, plot.TickerFunc(byPowers)
		axis.Min, axis.Max = logBounds(low, high)
		return
	}
	axis.Tick.Marker = plot.TickerFunc(evenly)
	if math.IsInf(low, 0) { // nothing to show
		low, high = 0, 1
	}
	if amounts {
		low, high = min(low, 0), high*1.05
	} else if low > 0 && low < high/10 {
		low = 0 // what begins shortly after zero
	}
	if high <= low {
		high = low + 1
	}
	axis.Min, axis.Max = low, high
}
