package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
)

// Record is what one experiment measured on one database server.
type Record struct {
	Experiment string    `json:"experiment"`
	Database   string    `json:"database"`
	Settings   string    `json:"settings"`
	Machine    string    `json:"machine"`
	MeasuredAt time.Time `json:"measured_at"`
	Rounds     int       `json:"rounds"`
	OthersCPU  float64   `json:"others_cpu"` // share of the machine that other processes took meanwhile
	Figures    []*Figure `json:"figures"`
}

// Figure is one quantity of one case, with a value per round.
type Figure struct {
	Case     string    `json:"case"`
	Quantity string    `json:"quantity"`
	Rounds   []float64 `json:"rounds"`
}

// find returns a figure, a new one if there is none.
func (r *Record) find(name, quantity string) *Figure {
	for _, f := range r.Figures {
		if f.Case == name && f.Quantity == quantity {
			return f
		}
	}
	return &Figure{Case: name, Quantity: quantity}
}

// add adds a value of this round. A ratio without a denominator is no value.
func (r *Record) add(name, quantity string, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	f := r.find(name, quantity)
	if len(f.Rounds) == 0 {
		r.Figures = append(r.Figures, f)
	}
	f.Rounds = append(f.Rounds, value)
}

// last returns the value of this round.
func (r *Record) last(name, quantity string) float64 {
	rounds := r.find(name, quantity).Rounds
	return median(rounds[max(0, len(rounds)-1):])
}

// median returns the median over the rounds, NaN if nothing was measured.
func (r *Record) median(name, quantity string) float64 { return median(r.find(name, quantity).Rounds) }

// Cases and Quantities are the rows and columns of the record's table, in the order of measurement.
func (r *Record) Cases() []string { return r.distinct(func(f *Figure) string { return f.Case }) }
func (r *Record) Quantities() []string {
	return r.distinct(func(f *Figure) string { return f.Quantity })
}

func (r *Record) distinct(of func(*Figure) string) (all []string) {
	for _, f := range r.Figures {
		if !slices.Contains(all, of(f)) {
			all = append(all, of(f))
		}
	}
	return all
}

// Cell is a figure of the table.
func (r *Record) Cell(name, quantity string) string { return number(r.median(name, quantity)) }

// Busy reports whether other processes took so much CPU that the figures are worth little.
func (r *Record) Busy() bool { return r.OthersCPU > busyShare }

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// number writes three significant digits; from 100 on all digits before the point.
func number(x float64) string {
	switch {
	case math.IsNaN(x):
		return "–"
	case math.Abs(x) >= 99.95:
		return humanize.Comma(int64(math.Round(x)))
	case math.Abs(x) < 0.0005:
		return "0"
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}
