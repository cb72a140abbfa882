package bench

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"flashsale/internal/chart"
)

// document renders the results as Markdown.
func document(results []*Result, notes bool) string {
	m := &markdown{}
	m.line("<!-- Written by flashsale bench. Changes here are lost: see pkg/bench. -->\n")
	m.line("# Performance\n")
	m.paragraph("What this checkout does on one machine, which runs everything at once: the database, the cache, the server and the " +
		"load. Ratios are worth more than rates: another machine has other rates. Every case runs once a round, one after the " +
		"other; a figure is the median over the rounds, and a ratio is taken within a round before its median is taken. " +
		"`make bench` measures all of it again.")
	claims(m, results, notes)
	machines(m, results)
	for _, r := range results {
		section(m, r)
	}
	m.line("## Repeat it\n")
	m.paragraph("```sh\nmake bench                                     # all of it, on the private servers\n" +
		".local/bin/flashsale bench http soldout        # only these; the others' figures stay\n" +
		".local/bin/flashsale bench --also 'root:PASSWORD@tcp(127.0.0.1:3307)/'   # on a second database server as well\n" +
		".local/bin/flashsale bench --help\n```")
	m.paragraph("`MYSQL_DSN` and `CACHE_ADDR` name servers to use instead of the private ones. Each experiment makes databases of " +
		"its own and drops them. Nothing else should run on the machine meanwhile.")
	if notes {
		m.paragraph("What limits it, what helped and what did not is in [" + notesFile + "](" + notesFile + ").")
	}
	return strings.TrimRight(m.String(), "\n") + "\n"
}

func claims(m *markdown, results []*Result, notes bool) {
	var rows [][]string
	for _, r := range results {
		for _, c := range r.Claims {
			rows = append(rows, []string{fmt.Sprintf("[%s](#%s)", r.Title, anchor(r.Title)), c.Text, c.wanted(), c.Unit.WithUnit(c.Measured), c.spread(), c.verdict()})
		}
	}
	if len(rows) > 0 {
		m.line("## Targets\n")
		m.paragraph("*Rounds*: the least and the most that was measured in a round.")
		m.table(2, []string{"experiment", "what", "target", "measured", "rounds", ""}, rows)
		if notes {
			m.paragraph("Why some are short is in [" + notesFile + "](" + notesFile + ").")
		}
	}
}

// anchor is how GitHub names a heading.
func anchor(heading string) string {
	var b strings.Builder
	for _, letter := range strings.ToLower(heading) {
		switch {
		case letter == ' ':
			b.WriteByte('-')
		case letter == '-' || letter >= '0' && letter <= '9' || letter >= 'a' && letter <= 'z':
			b.WriteRune(letter)
		}
	}
	return b.String()
}

// machines describes each machine once, with the experiments that ran on it.
func machines(m *markdown, results []*Result) {
	var texts []string
	names := map[string][]string{}
	for _, r := range results {
		text := r.Machine.text()
		if names[text] == nil {
			texts = append(texts, text)
		}
		names[text] = append(names[text], r.Title)
	}
	m.line("## Machine\n")
	for _, text := range texts {
		if len(texts) > 1 {
			m.paragraph(strings.Join(names[text], ", ") + ":")
		}
		m.paragraph(text)
	}
}

func (d Machine) text() string {
	return fmt.Sprintf("%d × %s, %s GiB of memory, %s. %s; %s; %s. Writing 4 KiB through to the disk takes %s ms (median). Commit: %s.",
		d.Cores, d.Processor, digits(d.MemoryGiB), d.System, d.Go, strings.Join(d.Databases, "; "), d.Cache, digits(d.SyncMS), d.Revision)
}

func section(m *markdown, r *Result) {
	m.line("## %s\n", r.Title)
	if r.Tiny {
		m.paragraph("**From a run with `--tiny`, which only shows that the measuring works.**")
	}
	for _, text := range r.About {
		m.paragraph(text)
	}
	for _, t := range r.Tables {
		if t.Title != "" {
			m.paragraph(t.Title + ":")
		}
		head := append([]string{}, t.Labels...)
		for _, c := range t.Columns {
			head = append(head, c.head())
		}
		rows := make([][]string, len(t.Rows))
		for i, row := range t.Rows {
			rows[i] = append(rows[i], row.Labels...)
			for j, v := range row.Values {
				rows[i] = append(rows[i], t.Columns[j].Unit.Format(v))
			}
		}
		m.table(len(t.Labels), head, rows)
	}
	for _, c := range r.Charts {
		m.paragraph(fmt.Sprintf("![%s](%s/%s)", c.Title, filesDir, chartFile(r, c)))
	}
	for _, note := range r.Notes {
		m.line("- %s", note)
	}
	for _, why := range r.LeftOut {
		m.line("- Left out: %s.", why)
	}
	if len(r.Notes)+len(r.LeftOut) > 0 {
		m.line("")
	}
	m.paragraph(fmt.Sprintf("Measured %s, %s in %s; all figures of all rounds: [%s.json](%s/%[4]s.json).",
		r.MeasuredAt.UTC().Format(time.DateOnly), plural(r.Rounds, "round"), r.Took, r.Experiment, filesDir))
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// chartWidth is what fits beside the text on a page.
const chartWidth = 560

func (c Chart) png() ([]byte, error) {
	if len(c.Groups) == 0 {
		lines := chart.Lines{Title: c.Title, X: c.X, Y: c.Y, LogX: c.LogX, LogY: c.LogY}
		for _, s := range c.Series {
			points := make([]chart.Point, len(s.Points))
			for i, p := range s.Points {
				points[i] = chart.Point{X: float64(p.X), Y: float64(p.Y)}
			}
			lines.Series = append(lines.Series, chart.Series{Name: s.Name, Points: points, Dots: true})
		}
		return lines.PNG(chart.Size{Width: chartWidth, Height: 300})
	}
	bars := chart.Bars{Title: c.Title, Axis: c.Y, Log: c.LogY, Horizontal: c.horizontal(), Groups: c.Groups}
	for _, s := range c.Series {
		values := make([]float64, len(s.Values))
		for i, v := range s.Values {
			values[i] = float64(v)
		}
		bars.Series = append(bars.Series, chart.Values{Name: s.Name, Values: values})
	}
	height := 280.0
	if bars.Horizontal {
		height = 70 + float64(len(c.Groups)*(8+14*len(c.Series)))
	}
	return bars.PNG(chart.Size{Width: chartWidth, Height: height})
}

// horizontal says that the groups' names would run into each other if they stood side by side.
func (c Chart) horizontal() bool {
	letters := 0
	for _, name := range c.Groups {
		letters = max(letters, utf8.RuneCountInString(name))
	}
	return letters*len(c.Groups) > 90
}

// percents are shares in percent.
func percents(parts []Value) []Value {
	out := make([]Value, len(parts))
	for i, part := range parts {
		out[i] = 100 * part
	}
	return out
}

// Summary is the result for somebody who stands in front of the terminal.
func (r *Result) Summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s (%s)\n", r.Title, r.Took)
	for _, c := range r.Claims {
		fmt.Fprintf(&b, "  %-12s %s: %s, target %s\n", strings.Trim(c.verdict(), "*"), c.Text, c.Unit.WithUnit(c.Measured), c.wanted())
	}
	for _, why := range r.LeftOut {
		fmt.Fprintf(&b, "  left out     %s\n", why)
	}
	return b.String()
}
