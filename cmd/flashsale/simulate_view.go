package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"flashsale/internal/chart"
	"flashsale/internal/simulator"
)

// liveView shows a rush while it runs: a panel that is drawn anew on a terminal, else a line a second.
type liveView struct {
	out      io.Writer
	terminal *os.File // nil: not one
	lines    int      // of the panel on the screen
	width    int      // that it was drawn for
}

// The smallest terminal that the panel is drawn on.
const (
	smallestWidth  = 40
	smallestHeight = 8
)

func newLiveView(out io.Writer) *liveView {
	v := &liveView{out: out}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		v.terminal = f
	}
	return v
}

func (v *liveView) every() time.Duration {
	if v.terminal != nil {
		return 250 * time.Millisecond
	}
	return time.Second
}

func (v *liveView) show(g simulator.Glance) {
	width, height := 0, 0
	if v.terminal != nil {
		var err error
		if width, height, err = term.GetSize(int(v.terminal.Fd())); err != nil || width == 0 {
			width, height = 80, 24
		}
	}
	if width < smallestWidth || height < smallestHeight { // no terminal, or one that a panel does not fit into
		v.lines = 0
		_ = write(v.out, "%s\n", line(g)) // a closed pipe is noticed when the result is printed
		return
	}
	var screen strings.Builder
	if v.lines > 0 && width == v.width {
		fmt.Fprintf(&screen, "\x1b[%dA", v.lines) // back to the panel's first line; a new one after a resize, which wraps the old
	}
	v.width = width
	lines := panel(g, min(width, 110))
	for _, text := range lines {
		screen.WriteString("\x1b[2K" + text + "\n")
	}
	v.lines = len(lines)
	_ = write(v.out, "%s", screen.String())
}

// end leaves the last panel on the screen.
func (v *liveView) end() { v.lines = 0 }

// line is one moment in one line.
func line(g simulator.Glance) string {
	return fmt.Sprintf("%5.1fs %-8s available %d held %d sold %d of %d | %.0f requests/s p50 %s p99 %s | shoppers %d inside, %d of %d came%s",
		g.Elapsed.Seconds(), g.Phase, g.Available, g.Held, g.Sold, g.Stock, g.Rate, milliseconds(g.P50), milliseconds(g.P99),
		g.Inside, g.Arrived, g.Shoppers, refusals(g.Refusals, " | "))
}

// panel is one moment in a few lines with bars.
func panel(g simulator.Glance, width int) []string {
	const label = 10
	bar := func(name string, part int64, mark string) string {
		room := width - label - 16
		filled := 0
		if g.Stock > 0 {
			filled = int(min(max(part*int64(room)/g.Stock, 0), int64(room)))
		}
		return fmt.Sprintf("%-*s %s%s %d", label, name, strings.Repeat(mark, filled), strings.Repeat("·", room-filled), part)
	}
	return []string{
		clip(fmt.Sprintf("%-*s %.1f s, %s: %d of %d shoppers came, %d inside", label, "sale", g.Elapsed.Seconds(), g.Phase, g.Arrived, g.Shoppers, g.Inside), width),
		bar("available", g.Available, "█"),
		bar("held", g.Held, "▒"),
		bar("sold", g.Sold, "▓"),
		clip(fmt.Sprintf("%-*s %.0f requests/s, p50 %s, p99 %s", label, "speed", g.Rate, milliseconds(g.P50), milliseconds(g.P99)), width),
		clip(fmt.Sprintf("%-*s%s", label, "refused", refusals(g.Refusals, " ")), width),
	}
}

// clip keeps a line from wrapping, which would tear the panel.
func clip(text string, width int) string {
	letters := []rune(text)
	return string(letters[:min(len(letters), width)])
}

func refusals(counts map[string]int, before string) string {
	var words []string
	for word, n := range counts {
		words = append(words, fmt.Sprintf("%s %d", word, n))
	}
	if len(words) == 0 {
		return ""
	}
	slices.Sort(words)
	return before + strings.Join(words, ", ")
}

func milliseconds(ms float64) string {
	if ms >= 1000 {
		return fmt.Sprintf("%.1f s", ms/1000)
	}
	return chart.Number(ms) + " ms"
}

// summary is what a person wants to know when it is over.
func summary(r *simulator.Report) string {
	var s strings.Builder
	f := r.Figures
	fmt.Fprintf(&s, "\n%d shoppers came for %d units in %.0f s: %d requests, %.0f a second at the peak.\n", f.Shoppers, r.Sale.Stock, f.PlayedS, f.Requests, f.PeakPerS)
	if f.SoldOutAfter >= 0 {
		fmt.Fprintf(&s, "The first was told \"sold out\" after %.2f s. ", f.SoldOutAfter)
	}
	fmt.Fprintf(&s, "%d holds, %d orders, %d units sold, %d left, %d refunds due.\n\n", f.Holds, f.Orders, f.UnitsSold, f.UnitsLeft, f.RefundsDue)
	fmt.Fprintf(&s, "%-12s %9s %9s %9s %9s   from when the step was due, waiting included\n", "operation", "steps", "p50", "p99", "max")
	for _, o := range r.Operations {
		if p := o.StepMS; p.Count > 0 {
			fmt.Fprintf(&s, "%-12s %9d %9s %9s %9s\n", o.Operation, p.Count, milliseconds(p.P50), milliseconds(p.P99), milliseconds(p.Max))
		}
	}
	if late := r.Generator.LateMS; r.Generator.Bottleneck {
		fmt.Fprintf(&s, "This machine was late itself (p99 %s): the times above are partly the simulation's own.\n", milliseconds(late.P99))
	}
	s.WriteString("\n")
	for _, c := range r.Invariants {
		verdict := "ok"
		if !c.Holds {
			verdict = "BROKEN"
		}
		fmt.Fprintf(&s, "%-7s %-26s %8d looked at\n", verdict, c.Name, c.LookedAt)
		for _, e := range c.Evidence {
			fmt.Fprintf(&s, "        %s\n", e)
		}
		if more := c.Broken - len(c.Evidence); more > 0 {
			fmt.Fprintf(&s, "        and %d more\n", more)
		}
		if c.Cause != "" {
			fmt.Fprintf(&s, "        the server's log says: %s\n", c.Cause)
		}
	}
	if n := len(r.BrokenThen); n > 0 {
		fmt.Fprintf(&s, "The audit had %d findings before this sale; they are not counted here: see flashsale audit.\n", n)
	}
	if r.Interrupted {
		s.WriteString("The sale was interrupted: not all shoppers came.\n")
	}
	if r.Clean {
		fmt.Fprintf(&s, "All %d invariants hold, in what %d shoppers did.\n", len(r.Invariants), f.Shoppers)
	}
	return s.String()
}
