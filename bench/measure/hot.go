package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What experiment 1 has to reach.
const (
	wantOverLoopback = 2   // times the usual design
	wantOverLink     = 10  // times the usual design
	wantAt256        = 0.8 // of the rate with 16 callers
	hotStock         = 1_000_000_000
)

var (
	hotCallers = []int{16, 64, 256}
	hotLinks   = []struct {
		name  string
		delay time.Duration
	}{{"loopback", 0}, {"1 ms more", linkDelay}}
)

// runHot is experiment 1: what a hold on one hot product costs in each design.
func runHot(ctx context.Context, r *Run) (*Result, error) {
	result := &Result{Figures: Figures{}, About: []string{
		"Callers place holds of one unit on one product as fast as they get answers; the stock never runs short. Each design " +
			"writes the same row of `holds`. In each round and for each number of callers all designs run one after the other on a new " +
			"database, from round to round with another one first; the clock starts when each caller has placed a hold.",
		fmt.Sprintf("“1 ms more” is a link on which each answer arrives %s later than on loopback; a round trip of `DO 1` over either is in the last table.", linkDelay),
	}}
	for _, d := range designs {
		result.About = append(result.About, fmt.Sprintf("- **%s**: %s.", d.name, d.what))
	}
	for round := range r.Rounds {
		for _, d := range r.Databases {
			r.Log("hot: %s, round %d of %d", d.Label, round+1, r.Rounds)
			for _, link := range hotLinks {
				for _, callers := range hotCallers {
					err := r.on(ctx, d, func(ctx context.Context, d Database, s *schema) error {
						return hotRound(ctx, r, s, round, callers, link.delay, result.Figures, d.Label, link.name)
					})
					if err != nil {
						return nil, fmt.Errorf("%s, %s, %d callers: %w", d.Label, link.name, callers, err)
					}
				}
			}
		}
	}
	for _, d := range r.Databases {
		hotTables(result, d)
		hotClaims(result, d)
	}
	return result, nil
}

// hotRound runs each design once.
func hotRound(ctx context.Context, r *Run, s *schema, round, callers int, delay time.Duration, f Figures, where ...string) error {
	if err := roundTrip(ctx, s, delay, f, where...); err != nil {
		return err
	}
	database := newCrew(s.adminDSN, "", 0)
	for _, design := range rotated(designs, 2*round) {
		product := productID()
		if err := s.product(ctx, product, hotStock); err != nil {
			return err
		}
		place, closing, err := design.open(s, callers, delay)
		if err != nil {
			return err
		}
		stop := database.watch()
		sample, err := load{
			workers: callers, warmUp: r.warmUp(), length: r.length(2 * time.Second),
			op: func(ctx context.Context, _ int) error { return place(ctx, product) },
		}.run(ctx)
		cores := stop()
		if err := errors.Join(err, closing()); err != nil {
			return fmt.Errorf("%s: %w", design.name, err)
		}
		key := append(slices.Clone(where), strconv.Itoa(callers), design.name)
		f.AddSample(sample, key...)
		if busy, ok := cores[theDatabase]; ok {
			f.Add("database", busy, key...)
		}
	}
	return nil
}

// rotated begins with another one: who runs first has the emptiest table.
func rotated[T any](all []T, by int) []T {
	by %= len(all)
	return slices.Concat(all[by:], all[:by])
}

// roundTrip measures the link with the shortest of questions.
func roundTrip(ctx context.Context, s *schema, delay time.Duration, f Figures, where ...string) (err error) {
	db, err := connect(s.adminDSN, 1, delay)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	sample, err := load{workers: 1, warmUp: 50 * time.Millisecond, length: 200 * time.Millisecond, op: func(ctx context.Context, _ int) error {
		_, err := db.ExecContext(ctx, "DO 1")
		return err
	}}.run(ctx)
	f.AddSample(sample, append(slices.Clone(where), "round trip")...)
	return err
}

// hotTables writes a table and a chart for each link.
func hotTables(result *Result, d Database) {
	f := result.Figures
	for i, link := range hotLinks {
		table := Table{Title: fmt.Sprintf("%s, %s", d.Label, link.name), Labels: []string{"callers", "design"}, Columns: []Column{
			{"holds", PerSecond}, {"p50", Milliseconds}, {"p99", Milliseconds}, {"of usual", Times}, {"of the ceiling", Percent}, {"database CPU", Cores},
		}}
		chart := Chart{Name: fmt.Sprintf("%s-%d", slug(d.Label), i+1), Title: table.Title, X: "callers", Y: "holds a second"}
		for _, callers := range hotCallers {
			chart.Groups = append(chart.Groups, strconv.Itoa(callers)+" callers")
		}
		for _, design := range designs {
			chart.Series = append(chart.Series, Series{Name: design.name})
		}
		for _, callers := range hotCallers {
			at := func(design string) []string { return []string{d.Label, link.name, strconv.Itoa(callers), design} }
			for i, design := range designs {
				key := at(design.name)
				table.Add([]string{strconv.Itoa(callers), design.name}, f.Median("rate", key...), f.Median("p50", key...), f.Median("p99", key...),
					f.Ratio("rate", key, at(usual)), 100*f.Ratio("rate", key, at(ceiling)), f.Median("database", key...))
				chart.Series[i].Values = append(chart.Series[i].Values, f.Median("rate", key...))
			}
		}
		result.Tables = append(result.Tables, table)
		result.Charts = append(result.Charts, chart)
	}
	links := Table{Title: d.Label + ", a round trip", Labels: []string{"link"}, Columns: []Column{{"p50", Milliseconds}, {"p99", Milliseconds}}}
	for _, link := range hotLinks {
		key := []string{d.Label, link.name, "round trip"}
		links.Add([]string{link.name}, f.Median("p50", key...), f.Median("p99", key...))
	}
	result.Tables = append(result.Tables, links)
}

// hotClaims compares with what has to be reached.
func hotClaims(result *Result, d Database) {
	f := result.Figures
	claim := func(unit Unit, wanted Value, rounds []Value, format string, args ...any) {
		result.Claims = append(result.Claims, Claim{Text: d.Label + ", " + fmt.Sprintf(format, args...), Wanted: wanted, Unit: unit}.by(rounds...))
	}
	for _, design := range []string{shipped, unqueue} {
		for i, link := range hotLinks {
			overUsual := []Value{wantOverLoopback, wantOverLink}[i]
			for _, callers := range hotCallers {
				at := func(design string) []string { return []string{d.Label, link.name, strconv.Itoa(callers), design} }
				claim(Times, overUsual, f.Ratios("rate", at(design), at(usual)), "%s, %d callers: %s by usual", link.name, callers, design)
				claim(Percent, 100*d.wantOfCeiling(), percents(f.Ratios("rate", at(design), at(ceiling))), "%s, %d callers: %s of the ceiling", link.name, callers, design)
			}
			of := func(callers string) []string { return []string{d.Label, link.name, callers, design} }
			claim(Percent, 100*wantAt256, percents(f.Ratios("rate", of("256"), of("16"))), "%s: %s, 256 callers by 16", link.name, design)
		}
	}
}

// wantOfCeiling is what part of the ceiling has to be reached: a routine costs MySQL more than MariaDB.
func (d Database) wantOfCeiling() Value {
	if strings.HasPrefix(d.Label, "MariaDB") {
		return 0.4
	}
	return 0.3
}
