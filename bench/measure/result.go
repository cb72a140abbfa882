package bench

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"
)

// Result is what an experiment found, in the form in which it is kept.
type Result struct {
	Experiment string    `json:"experiment"`
	Title      string    `json:"title"`
	MeasuredAt time.Time `json:"measured_at"`
	Took       string    `json:"took"`
	Rounds     int       `json:"rounds"`
	Tiny       bool      `json:"tiny,omitempty"` // nothing of it is a measurement
	Machine    Machine   `json:"machine"`

	About   []string `json:"about"` // how it is measured, a paragraph each; Markdown
	Tables  []Table  `json:"tables"`
	Charts  []Chart  `json:"charts,omitempty"`
	Claims  []Claim  `json:"claims,omitempty"`
	Notes   []string `json:"notes,omitempty"`    // what follows from the figures
	LeftOut []string `json:"left_out,omitempty"` // what could not be measured here, and why
	Figures Figures  `json:"figures"`            // every run of every case
}

// Value is a figure; NaN where there is none, null in JSON.
type Value float64

// none is a figure that there is not.
var none = Value(math.NaN())

// MarshalJSON writes NaN as null, and what nobody can have measured that exactly with six digits.
func (v Value) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(rounded(float64(v)))
}

// UnmarshalJSON reads null as NaN.
func (v *Value) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*v = none
		return nil
	}
	return json.Unmarshal(text, (*float64)(v))
}

// rounded keeps six significant digits.
func rounded(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, 5-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// Unit says what a figure counts, and how it is written.
type Unit string

// The units.
const (
	PerSecond    Unit = "/s"
	Milliseconds Unit = "ms"
	Microseconds Unit = "µs"
	Seconds      Unit = "s"
	Times        Unit = "×"
	Percent      Unit = "%"
	Cores        Unit = "cores" // CPU seconds a second
	MiB          Unit = "MiB"
	KiB          Unit = "KiB"
	Count        Unit = ""
)

// Column is one column of figures.
type Column struct {
	Name string `json:"name"`
	Unit Unit   `json:"unit"`
}

// Row is one row: what it is about, a text for each of Table.Labels, and a figure for each of Table.Columns.
type Row struct {
	Labels []string `json:"labels"`
	Values []Value  `json:"values"`
}

// Table is a table of medians.
type Table struct {
	Title   string   `json:"title"`
	Labels  []string `json:"labels"` // the heads of the leading columns, which are text
	Columns []Column `json:"columns"`
	Rows    []Row    `json:"rows"`
}

// Add adds a row.
func (t *Table) Add(labels []string, values ...Value) {
	t.Rows = append(t.Rows, Row{labels, values})
}

// Chart is a chart's data. With Points it is one of lines, else of bars.
type Chart struct {
	Name   string   `json:"name"` // of its file, after the experiment's
	Title  string   `json:"title"`
	X      string   `json:"x,omitempty"` // the axes, with units
	Y      string   `json:"y"`
	LogX   bool     `json:"log_x,omitempty"`
	LogY   bool     `json:"log_y,omitempty"`
	Groups []string `json:"groups,omitempty"` // of bars
	Series []Series `json:"series"`
}

// Series is a bar of each group, or a line.
type Series struct {
	Name   string  `json:"name"`
	Values []Value `json:"values,omitempty"` // one a group
	Points []Point `json:"points,omitempty"`
}

// Point is a point of a line.
type Point struct {
	X Value `json:"x"`
	Y Value `json:"y"`
}

// Claim is a target and what was measured: the median of the rounds, and how far apart they were.
type Claim struct {
	Text     string `json:"text"`   // what should be, such as "the usual design, over 1 ms, MariaDB, 64 connections"
	Wanted   Value  `json:"wanted"` // at least
	AtMost   bool   `json:"at_most,omitempty"`
	Below    bool   `json:"below,omitempty"` // less than Wanted, not at most
	Unit     Unit   `json:"unit"`
	Measured Value  `json:"measured"`
	Least    Value  `json:"least"`
	Most     Value  `json:"most"`
}

// by notes what was measured, a value a round.
func (c Claim) by(rounds ...Value) Claim {
	c.Measured, c.Least, c.Most = median(rounds), none, none
	if known := measured(rounds); len(known) > 0 {
		c.Least, c.Most = slices.Min(known), slices.Max(known)
	}
	return c
}

// Reached reports whether it is so.
func (c Claim) Reached() bool {
	switch {
	case c.Below:
		return c.Measured < c.Wanted
	case c.AtMost:
		return c.Measured <= c.Wanted
	}
	return c.Measured >= c.Wanted
}

// Figures are the raw figures of an experiment: for each case and quantity one value a round.
type Figures map[string]map[string][]Value

// Add notes one round's value.
func (f Figures) Add(quantity string, value float64, key ...string) {
	name := strings.Join(key, " | ")
	if f[name] == nil {
		f[name] = map[string][]Value{}
	}
	f[name][quantity] = append(f[name][quantity], Value(value))
}

// AddSample notes one round's rate and times: rate in calls a second; p50, p99 and max in ms.
func (f Figures) AddSample(s Sample, key ...string) {
	f.Add("rate", s.Rate, key...)
	f.Add("p50", ms(s.P50), key...)
	f.Add("p99", ms(s.P99), key...)
	f.Add("max", ms(s.Max), key...)
	f.Add("failed", float64(s.Failed), key...)
}

// Get returns the values of the rounds.
func (f Figures) Get(quantity string, key ...string) []Value {
	return f[strings.Join(key, " | ")][quantity]
}

// Median returns the median over the rounds; NaN if there is no value.
func (f Figures) Median(quantity string, key ...string) Value { return median(f.Get(quantity, key...)) }

// Ratio returns the median of the ratios a/b within the rounds.
func (f Figures) Ratio(quantity string, a, b []string) Value { return median(f.Ratios(quantity, a, b)) }

// Ratios returns a/b of each round.
func (f Figures) Ratios(quantity string, a, b []string) []Value {
	return f.RatiosOf(quantity, a, quantity, b)
}

// RatiosOf is Ratios of two different quantities.
func (f Figures) RatiosOf(quantityA string, a []string, quantityB string, b []string) []Value {
	return pairs(f.Get(quantityA, a...), f.Get(quantityB, b...), func(a, b Value) Value { return a / b })
}

// Differences returns a-b of each round.
func (f Figures) Differences(quantity string, a, b []string) []Value {
	return pairs(f.Get(quantity, a...), f.Get(quantity, b...), func(a, b Value) Value { return a - b })
}

// pairs goes through the rounds of two cases together.
func pairs(a, b []Value, of func(a, b Value) Value) []Value {
	values := make([]Value, min(len(a), len(b)))
	for i := range values {
		values[i] = of(a[i], b[i])
	}
	return values
}

// measured leaves out what is no figure.
func measured(values []Value) []Value {
	return slices.DeleteFunc(slices.Clone(values), func(v Value) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) })
}

func median(values []Value) Value {
	sorted := measured(values)
	if len(sorted) == 0 {
		return none
	}
	slices.Sort(sorted)
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Difference returns the median of a-b within the rounds.
func (f Figures) Difference(quantity string, a, b []string) Value {
	return median(f.Differences(quantity, a, b))
}
