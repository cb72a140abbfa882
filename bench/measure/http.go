package bench

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// The cases of runHTTP.
const (
	ledgerAlone      = "ledger"
	ledgerAloneKeyed = "ledger, keyed"
	wholeServer      = "HTTP"
	wholeServerKeyed = "HTTP, keyed"
)

const fullStock = 1_000_000_000 // no case comes near

// runHTTP is experiment 2: what the edge, the gate and the stock view cost, on top of the ledger.
func runHTTP(ctx context.Context, r *Run) (*Result, error) {
	callers := []int{16, 64}
	out := &Result{
		About: []string{
			"Holds on one product, placed by callers each of which waits for its answer. *ledger*: `Ledger.PlaceHold` called in " +
				"the load generator's process, as the server opens it. *HTTP*: `POST /v1/holds` of a `flashsale run` as it comes, its " +
				"access log written to a file, each caller over a connection of its own. *keyed*: with a new `Idempotency-Key` each.",
			"Server, database, cache and load generator share the machine, so the columns say how many cores each kept busy.",
		},
		Figures: Figures{},
	}
	f := out.Figures
	err := r.onSites(ctx, &out.LeftOut, func(ctx context.Context, s *site) error {
		l, err := s.openLedger()
		if err != nil {
			return err
		}
		product := productID()
		err = s.product(ctx, product, fullStock)
		var cases []func(context.Context) error
		for _, n := range callers {
			for _, keyed := range []bool{false, true} {
				name := map[bool][2]string{false: {ledgerAlone, wholeServer}, true: {ledgerAloneKeyed, wholeServerKeyed}}[keyed]
				cases = append(cases,
					func(ctx context.Context) error {
						op := calling(l, product, keyed)
						return s.measured(ctx, f, load{workers: n, warmUp: r.warmUp(), length: r.length(3 * time.Second), op: op}, s.label, strconv.Itoa(n), name[0])
					},
					func(ctx context.Context) error {
						connections, done := newCallers(s.url, n)
						defer done()
						op := placing(connections, product, keyed, http.StatusCreated)
						return s.measured(ctx, f, load{workers: n, warmUp: r.warmUp(), length: r.length(3 * time.Second), op: op}, s.label, strconv.Itoa(n), name[1])
					})
			}
		}
		if err == nil {
			err = r.rounds(ctx, cases...)
		}
		return errors.Join(err, l.Close())
	})
	if err != nil {
		return nil, err
	}
	for _, d := range r.Databases {
		t := Table{
			Title: d.Label, Labels: []string{"callers", "case"},
			Columns: append([]Column{{"holds", PerSecond}, {"of the ledger", Percent}, {"p50", Milliseconds}, {"p99", Milliseconds}}, cpuColumns()...),
		}
		for _, n := range callers {
			for _, c := range [][2]string{{ledgerAlone, ledgerAlone}, {wholeServer, ledgerAlone}, {ledgerAloneKeyed, ledgerAloneKeyed}, {wholeServerKeyed, ledgerAloneKeyed}} {
				key := []string{d.Label, strconv.Itoa(n), c[0]}
				share := percents(f.Ratios("rate", key, []string{d.Label, strconv.Itoa(n), c[1]}))
				t.Add([]string{strconv.Itoa(n), c[0]}, append([]Value{f.Median("rate", key...), median(share), f.Median("p50", key...), f.Median("p99", key...)}, f.cpu(key...)...)...)
				if c[0] != c[1] {
					out.Claims = append(out.Claims, Claim{
						Text: say("accepted holds, %s with %d callers, of the ledger's own rate, %s", c[0], n, d.Label), Wanted: 50, Unit: Percent,
					}.by(share...))
				}
			}
		}
		out.Tables = append(out.Tables, t)
		out.Charts = append(out.Charts, httpChart(f, d, callers))
	}
	return out, nil
}

func httpChart(f Figures, d Database, callers []int) Chart {
	c := Chart{Name: slug(d.Label), Title: "Accepted holds a second, " + d.Label, Y: "holds/s"}
	for _, n := range callers {
		c.Groups = append(c.Groups, say("%d callers", n))
	}
	for _, name := range []string{ledgerAlone, wholeServer, ledgerAloneKeyed, wholeServerKeyed} {
		s := Series{Name: name}
		for _, n := range callers {
			s.Values = append(s.Values, f.Median("rate", d.Label, strconv.Itoa(n), name))
		}
		c.Series = append(c.Series, s)
	}
	return c
}
