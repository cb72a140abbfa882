package chart_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"strings"
	"testing"

	"flashsale/internal/chart"
)

var size = chart.Size{Width: 480, Height: 260}

// drawing is what both kinds of charts can do.
type drawing interface {
	SVG(size chart.Size) ([]byte, error)
	PNG(size chart.Size) ([]byte, error)
}

func TestChartsAreWellFormed(t *testing.T) {
	points := []chart.Point{{X: 0, Y: 500}, {X: 1, Y: math.NaN()}, {X: 2, Y: 0}, {X: 3, Y: 12000}}
	for name, c := range map[string]drawing{
		"lines":               chart.Lines{Title: "Stock <over> time", X: "seconds", Y: "units", Series: []chart.Series{{Name: "held", Points: points, Filled: true}, {Name: "sold", Points: points, Dashed: true, Dots: true}}},
		"lines on a log axis": chart.Lines{Title: "Latency", LogY: true, LogX: true, Series: []chart.Series{{Name: "p50", Points: points}}},
		"one value":           chart.Lines{LogY: true, Series: []chart.Series{{Name: "p50", Points: []chart.Point{{X: 1, Y: 7}}}}},
		"nothing":             chart.Lines{LogY: true, Series: []chart.Series{{Name: "p50"}}},
		"no series":           chart.Lines{},
		"bars":                chart.Bars{Title: "Latency", Log: true, Groups: []string{"hold", "pay"}, Series: []chart.Values{{Name: "p50", Values: []float64{3, 0}}, {Name: "p99", Values: []float64{250, math.NaN()}}}},
		"horizontal bars":     chart.Bars{Horizontal: true, Groups: []string{"paid", "sold out"}, Series: []chart.Values{{Values: []float64{300, 15000}}}},
		"no bars":             chart.Bars{Log: true},
	} {
		t.Run(name, func(t *testing.T) {
			svg, err := c.SVG(size)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(svg, []byte("<svg")) || bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
				t.Errorf("%s", svg)
			}
			decoder := xml.NewDecoder(bytes.NewReader(svg))
			for {
				if _, err := decoder.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			picture, err := c.PNG(size)
			if err != nil {
				t.Fatal(err)
			}
			if image, err := png.Decode(bytes.NewReader(picture)); err != nil || image.Bounds().Dx() != 960 {
				t.Errorf("%v", err)
			}
		})
	}
}

// A page can show a chart in dark mode, and on a computer without the fonts that it was measured with.
func TestSVGFollowsThePage(t *testing.T) {
	svg, err := chart.Bars{Title: "Latency", Groups: []string{"hold"}, Series: []chart.Values{{Name: "p50", Values: []float64{3}}}}.SVG(size)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(svg, []byte("fill:currentColor")) || !bytes.Contains(svg, []byte("Arial,Helvetica,sans-serif")) || bytes.Contains(svg, []byte("#24292F")) {
		t.Errorf("%s", svg)
	}
}

func TestBarsOfAnotherNumberThanGroups(t *testing.T) {
	_, err := chart.Bars{Title: "Latency", Groups: []string{"hold"}, Series: []chart.Values{{Name: "p50"}}}.SVG(size)
	if err == nil || !strings.Contains(err.Error(), `"p50" has 0 values for 1 groups`) {
		t.Errorf("%v", err)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1: "1", 0.5: "0.5", 2.345: "2.35", 12.3456: "12.3", 250: "250", 999.6: "1000", 1500: "1.5k", 20000: "20k", 123456: "123k", 2.5e6: "2.5M", -1500: "-1.5k"} {
		if got := chart.Number(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}
