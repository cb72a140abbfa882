// Package chart draws the few kinds of charts that this project shows, in one look: lines over an axis, and grouped
// bars. It is a thin layer over gonum.org/v1/plot that decides colours, ticks, fonts and where the legend stands, so that
// who measures something only says what the numbers are.
//
// SVG is for a web page: it has no XML prologue, and its ink is currentColor, so that it follows the page into dark mode.
// PNG is for documents, on white.
package chart

import (
	"bytes"
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Size is how large a chart is, in points. Text has a fixed size, so a smaller chart has relatively larger text.
type Size struct{ Width, Height float64 }

// The inks. They can be told apart on white and on black, and by most people who do not see all colours.
var (
	ink  = color.NRGBA{R: 0x24, G: 0x29, B: 0x2f, A: 0xff} // becomes currentColor in SVG
	grid = color.NRGBA{R: 0x86, G: 0x8e, B: 0x96, A: 0x48}

	Blue   = color.NRGBA{R: 0x2f, G: 0x6f, B: 0xde, A: 0xff}
	Orange = color.NRGBA{R: 0xe8, G: 0x59, B: 0x0c, A: 0xff}
	Green  = color.NRGBA{R: 0x2f, G: 0x9e, B: 0x44, A: 0xff}
	Purple = color.NRGBA{R: 0x84, G: 0x5e, B: 0xf7, A: 0xff}
	Red    = color.NRGBA{R: 0xe0, G: 0x31, B: 0x31, A: 0xff}
	Teal   = color.NRGBA{R: 0x0c, G: 0x8f, B: 0xa5, A: 0xff}
	Amber  = color.NRGBA{R: 0xf0, G: 0x8c, B: 0x00, A: 0xff}
	Grey   = color.NRGBA{R: 0x86, G: 0x8e, B: 0x96, A: 0xff}
)

var palette = []color.Color{Blue, Orange, Green, Purple, Red, Teal, Amber, Grey}

// colorOf returns the colour of the i-th series, unless it has chosen one.
func colorOf(chosen color.Color, i int) color.Color {
	if chosen != nil {
		return chosen
	}
	return palette[i%len(palette)]
}

const (
	titleSize = 12
	textSize  = 9.5
	lineWidth = 1.6
	margin    = 6
	pngDPI    = 144
)

func sans(size float64) font.Font {
	return font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, font.Length(size))
}

// figure is a chart before it is drawn: gonum's plot, and the legend that stands above it.
type figure struct {
	title  string
	plot   *plot.Plot
	legend []entry
}

type entry struct {
	name  string
	color color.Color
}

// newFigure makes an empty plot in our look.
func newFigure(title, x, y string) *figure {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	p.X.Label.Text, p.Y.Label.Text = x, y
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color, axis.Width = ink, vg.Points(0.5)
		axis.Tick.Color, axis.Tick.Width, axis.Tick.Length = ink, vg.Points(0.5), vg.Points(3)
		axis.Tick.Label.Color, axis.Tick.Label.Font = ink, sans(textSize)
		axis.Label.TextStyle.Color, axis.Label.TextStyle.Font = ink, sans(textSize)
		axis.Label.Padding = vg.Points(3)
		axis.Padding = 0
	}
	return &figure{title: title, plot: p}
}

func (f *figure) svg(size Size) ([]byte, error) {
	canvas := &measuring{Canvas: vgsvg.New(vg.Points(size.Width), vg.Points(size.Height))}
	f.draw(draw.New(canvas))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("drawing the chart %q: %w", f.title, err)
	}
	text := out.Bytes()
	text = text[max(bytes.Index(text, []byte("<svg")), 0):]
	text = bytes.ReplaceAll(text, fmt.Appendf(nil, "#%02X%02X%02X", ink.R, ink.G, ink.B), []byte("currentColor"))
	text = bytes.ReplaceAll(text, []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif"))
	return canvas.fit(text), nil
}

// measuring remembers how wide every text is, so that a browser with another font can be told to fit it in.
type measuring struct {
	*vgsvg.Canvas
	widths []vg.Length
}

// FillString implements vg.Canvas.
func (m *measuring) FillString(f font.Face, at vg.Point, text string) {
	m.widths = append(m.widths, f.Width(text))
	m.Canvas.FillString(f, at, text)
}

// fit adds the widths to the texts of the document, which stand there in the order in which they were drawn.
func (m *measuring) fit(svg []byte) []byte {
	parts := bytes.SplitAfter(svg, []byte("<text "))
	for i := range min(len(parts)-1, len(m.widths)) {
		parts[i] = fmt.Appendf(parts[i], `textLength="%.1f" lengthAdjust="spacingAndGlyphs" `, m.widths[i].Points())
	}
	return bytes.Join(parts, nil)
}

func (f *figure) png(size Size) ([]byte, error) {
	canvas := vgimg.PngCanvas{Canvas: vgimg.NewWith(
		vgimg.UseWH(vg.Points(size.Width), vg.Points(size.Height)), vgimg.UseDPI(pngDPI), vgimg.UseBackgroundColor(color.White))}
	f.draw(draw.New(canvas))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("drawing the chart %q: %w", f.title, err)
	}
	return out.Bytes(), nil
}

// draw puts the title and the legend above the plot, where they cover no data.
func (f *figure) draw(c draw.Canvas) {
	c = draw.Crop(c, margin, -margin-4, margin, -margin)
	title := draw.TextStyle{Color: ink, Font: sans(titleSize), YAlign: draw.YTop, Handler: plot.DefaultTextHandler}
	c.FillText(title, vg.Point{X: c.Min.X, Y: c.Max.Y}, f.title)
	top := c.Max.Y - vg.Points(titleSize+6)
	if len(f.legend) > 1 {
		top = f.drawLegend(c, top)
	}
	f.plot.Draw(draw.Crop(c, 0, 0, 0, top-c.Max.Y-vg.Points(4)))
}

// drawLegend writes the legend in as many rows as it takes, and returns where the last one ends.
func (f *figure) drawLegend(c draw.Canvas, top vg.Length) vg.Length {
	const swatch, gap = 9, 12
	style := draw.TextStyle{Color: ink, Font: sans(textSize), YAlign: draw.YTop, Handler: plot.DefaultTextHandler}
	x, row := c.Min.X, vg.Points(textSize+5)
	for _, e := range f.legend {
		width := vg.Points(swatch+4) + style.Width(e.name)
		if x > c.Min.X && x+width > c.Max.X {
			x, top = c.Min.X, top-row
		}
		fillRectangle(c, e.color, x, top-vg.Points(swatch), x+vg.Points(swatch), top)
		c.FillText(style, vg.Point{X: x + vg.Points(swatch+4), Y: top}, e.name)
		x += width + vg.Points(gap)
	}
	return top - row
}

func fillRectangle(c draw.Canvas, in color.Color, left, bottom, right, top vg.Length) {
	c.FillPolygon(in, []vg.Point{{X: left, Y: bottom}, {X: left, Y: top}, {X: right, Y: top}, {X: right, Y: bottom}})
}
