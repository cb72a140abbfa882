package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"flashsale/internal/simulator"
)

// liveView shows a sale in progress: on a terminal a panel that it redraws, otherwise a line per second.
type liveView struct {
	out      io.Writer
	terminal *os.File // nil: the output is not one
	lines    int      // of the panel on the screen
	width    int      // of the terminal when the panel was drawn
}

// The smallest terminal that the panel fits into.
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

func (v *liveView) show(p simulator.Progress) {
	width, height := 0, 0
	if v.terminal != nil {
		var err error
		if width, height, err = term.GetSize(int(v.terminal.Fd())); err != nil || width == 0 {
			width, height = 80, 24
		}
	}
	if width < smallestWidth || height < smallestHeight { // no terminal, or too small a one
		v.lines = 0
		_ = write(v.out, "%s\n", line(p)) // the summary's write reports a closed pipe
		return
	}
	var screen strings.Builder
	if v.lines > 0 && width == v.width {
		fmt.Fprintf(&screen, "\x1b[%dA", v.lines) // back to the first line of the panel; after a resize, which wraps it, draw a new one
	}
	v.width = width
	lines := panel(p, min(width, 110))
	for _, text := range lines {
		screen.WriteString("\x1b[2K" + text + "\n")
	}
	v.lines = len(lines)
	_ = write(v.out, "%s", screen.String())
}

// end leaves the last panel on the screen.
func (v *liveView) end() { v.lines = 0 }

// line is the progress in one line.
func line(p simulator.Progress) string {
	return fmt.Sprintf("%5.1fs %-8s available %d held %d sold %d of %d | %.0f requests/s p50 %s p99 %s | shoppers %d active, %d of %d arrived%s",
		p.Elapsed.Seconds(), p.Phase, p.Available, p.Held, p.Sold, p.Stock, p.Rate, simulator.Milliseconds(p.P50), simulator.Milliseconds(p.P99),
		p.Active, p.Arrived, p.Shoppers, refusals(p.Refusals, " | "))
}

// panel is the progress in a few lines with bars.
func panel(p simulator.Progress, width int) []string {
	const label = 10
	bar := func(name string, part int64, mark string) string {
		room := width - label - 16
		filled := 0
		if p.Stock > 0 {
			filled = int(min(max(part*int64(room)/p.Stock, 0), int64(room)))
		}
		return fmt.Sprintf("%-*s %s%s %d", label, name, strings.Repeat(mark, filled), strings.Repeat("·", room-filled), part)
	}
	return []string{
		clip(fmt.Sprintf("%-*s %.1f s, %s: %d of %d shoppers arrived, %d active", label, "sale", p.Elapsed.Seconds(), p.Phase, p.Arrived, p.Shoppers, p.Active), width),
		bar("available", p.Available, "█"),
		bar("held", p.Held, "▒"),
		bar("sold", p.Sold, "▓"),
		clip(fmt.Sprintf("%-*s %.0f requests/s, p50 %s, p99 %s", label, "speed", p.Rate, simulator.Milliseconds(p.P50), simulator.Milliseconds(p.P99)), width),
		clip(fmt.Sprintf("%-*s%s", label, "refused", refusals(p.Refusals, " ")), width),
	}
}

// clip shortens a line that would wrap, and break the panel.
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

// summary is the result for a person.
func summary(r *simulator.Report) string {
	var s strings.Builder
	f := r.Figures
	fmt.Fprintf(&s, "\n%d shoppers wanted %d units in %.0f s: %d requests, %.0f per second at the peak.\n", f.Shoppers, r.Sale.Stock, f.PlayedS, f.Requests, f.PeakPerS)
	if f.SoldOutAfter >= 0 {
		fmt.Fprintf(&s, "The first \"sold out\" came after %.2f s. ", f.SoldOutAfter)
	}
	fmt.Fprintf(&s, "%d holds, %d orders, %d units sold, %d left, %d refunds due.\n", f.Holds, f.Orders, f.UnitsSold, f.UnitsLeft, f.RefundsDue)
	if g := r.Greedy; g.Shoppers > 0 {
		fmt.Fprintf(&s, "%d greedy shoppers sent %d requests for holds, and the limit of %d units refused %d. One had at most %d units at a time; together they bought %d.\n",
			g.Shoppers, g.Asked, g.Limit, g.Refused, g.MostUnits, g.Kept)
		fmt.Fprintf(&s, "%d requests named other shoppers' holds and orders; %d got a response other than 404.\n", g.Foreign, g.Reached)
	}
	s.WriteString("\n")
	fmt.Fprintf(&s, "%-12s %9s %19s %19s %29s\n", "", "", "server", "connection wait", "whole step, with retries")
	fmt.Fprintf(&s, "%-12s %9s %9s %9s %9s %9s %9s %9s %9s\n", "operation", "steps", "p50", "p99", "p50", "p99", "p50", "p99", "max")
	for _, o := range r.Operations {
		if o.StepMS.Count == 0 {
			continue
		}
		fmt.Fprintf(&s, "%-12s %9d", o.Operation, o.StepMS.Count)
		for _, ms := range []float64{o.ServerMS.P50, o.ServerMS.P99, o.ConnectionMS.P50, o.ConnectionMS.P99, o.StepMS.P50, o.StepMS.P99, o.StepMS.Max} {
			fmt.Fprintf(&s, " %9s", simulator.Milliseconds(ms))
		}
		s.WriteString("\n")
	}
	if late := r.Generator.LateMS; r.Generator.Bottleneck {
		fmt.Fprintf(&s, "This machine was late itself (p99 %s), so the times above are partly the simulation's own: try fewer --shoppers.\n", simulator.Milliseconds(late.P99))
	}
	s.WriteString("\n")
	for _, c := range r.Invariants {
		verdict := "ok"
		if !c.Holds {
			verdict = "BROKEN"
		}
		fmt.Fprintf(&s, "%-7s %-26s %8d checked\n", verdict, c.Name, c.LookedAt)
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
		fmt.Fprintf(&s, "The audit had %d findings before this sale. They do not count here: see flashsale audit.\n", n)
	}
	if r.Interrupted {
		s.WriteString("The sale was interrupted: not all shoppers arrived.\n")
	}
	if r.Clean {
		fmt.Fprintf(&s, "All %d invariants hold for %d shoppers.\n", len(r.Invariants), f.Shoppers)
	}
	return s.String()
}
