package chart

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// Number writes a number as an axis does: 1500 is 1.5k.
func Number(v float64) string {
	if v == 0 { // also the negative zero that rounding makes
		return "0"
	}
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= unit.size {
			return significant(v/unit.size) + unit.name
		}
	}
	return significant(v)
}

// significant keeps three digits, and none that say nothing.
func significant(v float64) string {
	if math.Abs(v) >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if err != nil { // cannot be: it was just written
		short = v
	}
	return strconv.FormatFloat(short, 'f', -1, 64)
}

// evenly marks about five round numbers of a linear axis.
func evenly(low, high float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/5)))
	for _, times := range []float64{1, 2, 5, 10} {
		if (high-low)/(step*times) <= 6 {
			step *= times
			break
		}
	}
	var ticks []plot.Tick
	for i := math.Ceil(low/step - 1e-9); i*step <= high+step*1e-9; i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: Number(i * step)})
	}
	return ticks
}

// byPowers marks the powers of ten of a logarithmic axis, and 2 and 5 times them with a number where there is room.
func byPowers(low, high float64) []plot.Tick {
	roomy := math.Log10(high/low) < 2.5
	var ticks []plot.Tick
	for power := math.Floor(math.Log10(low)); power <= math.Ceil(math.Log10(high)); power++ {
		for digit := 1.0; digit < 10; digit++ {
			tick := plot.Tick{Value: digit * math.Pow(10, power)}
			if tick.Value < low*0.999 || tick.Value > high*1.001 {
				continue
			}
			if digit == 1 || (roomy && (digit == 2 || digit == 5)) {
				tick.Label = Number(tick.Value)
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

// logBounds returns a range of whole steps (1, 2, 5 times a power of ten) around positive values.
func logBounds(low, high float64) (from, to float64) {
	if math.IsInf(low, 0) || low <= 0 {
		return 1, 10 // nothing that a logarithm exists of
	}
	step := func(v float64, up bool) float64 {
		base := math.Pow(10, math.Floor(math.Log10(v)))
		steps := []float64{1, 2, 5, 10}
		for i, s := range steps {
			if up && v <= base*s*1.0001 {
				return base * s
			}
			if !up && (i == len(steps)-1 || v < base*steps[i+1]*0.9999) {
				return base * s
			}
		}
		return v
	}
	if from, to = step(low, false), step(high, true); from == to {
		to = from * 10
	}
	return from, to
}
