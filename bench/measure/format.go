package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Format writes a figure for a person: as many digits as a benchmark's figure deserves.
func (u Unit) Format(v Value) string {
	x := float64(v)
	if math.IsNaN(x) {
		return "–"
	}
	switch u {
	case Times:
		return digits(x) + "×"
	case Percent:
		return digits(x) + " %"
	}
	return digits(x)
}

// WithUnit is Format with the unit behind it.
func (u Unit) WithUnit(v Value) string {
	text := u.Format(v)
	switch u {
	case Times, Percent, Count:
		return text
	case PerSecond:
		return text + "/s"
	}
	return text + " " + string(u)
}

// digits writes three significant digits, and all digits before the point, in groups of three.
func digits(x float64) string {
	decimals := 0
	if size := math.Abs(x); size > 0 && size < 100 {
		decimals = min(max(2-int(math.Floor(math.Log10(size))), 0), 3)
	}
	text := strconv.FormatFloat(x, 'f', decimals, 64)
	if strings.Trim(text, "-0.") == "" {
		return "0"
	}
	if strings.Contains(text, ".") {
		return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	sign := ""
	if text[0] == '-' {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// head is a column's head with its unit.
func (c Column) head() string {
	switch c.Unit {
	case Times, Percent, Count:
		return c.Name
	case PerSecond:
		return c.Name + "/s"
	}
	return c.Name + ", " + string(c.Unit)
}

// wanted says what a claim asks for.
func (c Claim) wanted() string {
	sign := "≥"
	switch {
	case c.Below:
		sign = "<"
	case c.AtMost:
		sign = "≤"
	}
	return sign + " " + c.Unit.WithUnit(c.Wanted)
}

// spread is how far apart the rounds were.
func (c Claim) spread() string {
	if c.Least == c.Most {
		return ""
	}
	return c.Unit.Format(c.Least) + " to " + c.Unit.Format(c.Most)
}

func (c Claim) verdict() string {
	switch {
	case math.IsNaN(float64(c.Measured)):
		return "not measured"
	case c.Reached():
		return "reached"
	}
	return "**short**"
}

// say is fmt.Sprintf, for prose whose numbers are computed.
func say(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// slug makes a part of a file's name.
func slug(text string) string {
	return strings.Trim(strings.Map(func(letter rune) rune {
		if letter >= 'a' && letter <= 'z' || letter >= '0' && letter <= '9' {
			return letter
		}
		return '-'
	}, strings.ToLower(text)), "-")
}
