package bench

import (
	"context"
	"errors"
	"net/http"
	"time"

	"flashsale/pkg/checkout"
)

const (
	soldOutCallers = 64

	idle          = "nobody asks"
	accepted      = "accepted"
	acceptedKeyed = "accepted, keyed"
	refused       = "refused"
	refusedKeyed  = "refused, keyed"
)

// runSoldOut is experiment 3: how fast those are turned away who come too late, and that the database has its peace.
func runSoldOut(ctx context.Context, r *Run) (*Result, error) {
	out := &Result{
		About: []string{
			say("`POST /v1/holds` by %d callers, for a product with stock (*accepted*) and for one whose only unit is held (*refused*: ", soldOutCallers) +
				"409 `sold_out`). *keyed*: with a new `Idempotency-Key` each.",
			"Statements are those that the database server counts (`Questions`). While *nobody asks*, they are the server's sweep " +
				"once a second, and whatever else uses the database server; what is above that is for the product. *CPU an answer*: of the server, the database and the cache together.",
		},
		Figures: Figures{},
	}
	f := out.Figures
	err := r.onSites(ctx, &out.LeftOut, func(ctx context.Context, s *site) error {
		onSale, gone := productID(), productID()
		if err := errors.Join(s.product(ctx, onSale, fullStock), s.product(ctx, gone, 1), s.holdTheLast(ctx, gone)); err != nil {
			return err
		}
		one := func(name, product string, keyed bool, want int) func(context.Context) error {
			return func(ctx context.Context) error {
				connections, done := newCallers(s.url, soldOutCallers)
				defer done()
				return s.counted(ctx, f, load{
					workers: soldOutCallers, warmUp: r.warmUp(), length: r.length(4 * time.Second), op: placing(connections, product, keyed, want),
				}, s.label, name)
			}
		}
		return r.rounds(ctx,
			func(ctx context.Context) error { return s.idleStatements(ctx, r, f, s.label, idle) },
			one(accepted, onSale, false, http.StatusCreated),
			one(refused, gone, false, http.StatusConflict),
			one(acceptedKeyed, onSale, true, http.StatusCreated),
			one(refusedKeyed, gone, true, http.StatusConflict))
	})
	if err != nil {
		return nil, err
	}
	chart := Chart{Name: "rates", Title: "Holds accepted and refused a second", Y: "answers/s", Groups: []string{accepted, refused, acceptedKeyed, refusedKeyed}}
	for _, d := range r.Databases {
		out.Tables = append(out.Tables, soldOutTable(f, d))
		if cheaper := f.Ratio("cost", []string{d.Label, accepted}, []string{d.Label, refused}); cheaper > 0 {
			out.Notes = append(out.Notes, say("%s: leaving the load generator aside, which takes %s cores of this machine while it is refused, "+
				"an accepted hold costs %s times the CPU of a refusal.", d.Label, Cores.Format(f.Median(theGenerator, d.Label, refused)), Count.Format(cheaper)))
		}
		for _, c := range [][2]string{{refused, accepted}, {refusedKeyed, acceptedKeyed}} {
			out.Claims = append(out.Claims,
				Claim{
					Text: say("holds %s, a second, by those %s, %s", c[0], c[1], d.Label), Wanted: 10, Unit: Times,
				}.by(f.Ratios("rate", []string{d.Label, c[0]}, []string{d.Label, c[1]})...),
				Claim{
					Text: say("database statements for the product while holds are %s, %s", c[0], d.Label), Wanted: 1, Below: true, Unit: PerSecond,
				}.by(f.above(idle, d.Label, c[0])...))
		}
		series := Series{Name: d.Label}
		for _, name := range chart.Groups {
			series.Values = append(series.Values, f.Median("rate", d.Label, name))
		}
		chart.Series = append(chart.Series, series)
	}
	out.Charts = []Chart{chart}
	return out, nil
}

func soldOutTable(f Figures, d Database) Table {
	t := Table{
		Title: d.Label, Labels: []string{"holds"},
		Columns: append([]Column{
			{"answers", PerSecond}, {"by accepted", Times}, {"p50", Milliseconds}, {"p99", Milliseconds},
			{"statements", PerSecond}, {"for the product", PerSecond}, {"CPU an answer", Microseconds},
		}, cpuColumns()...),
	}
	t.Add([]string{idle}, append([]Value{none, none, none, none, f.Median("statements", d.Label, idle), none, none}, none, none, none, none)...)
	for _, c := range [][2]string{{accepted, accepted}, {refused, accepted}, {acceptedKeyed, acceptedKeyed}, {refusedKeyed, acceptedKeyed}} {
		key := []string{d.Label, c[0]}
		t.Add([]string{c[0]}, append([]Value{
			f.Median("rate", key...), f.Ratio("rate", key, []string{d.Label, c[1]}), f.Median("p50", key...), f.Median("p99", key...),
			f.Median("statements", key...), f.Difference("statements", key, []string{d.Label, idle}), f.Median("cost", key...),
		}, f.cpu(key...)...)...)
	}
	return t
}

// holdTheLast holds a unit for longer than any experiment takes.
func (s *schema) holdTheLast(ctx context.Context, product string) error {
	l, err := s.openLedger()
	if err != nil {
		return err
	}
	_, err = l.PlaceHold(ctx, checkout.HoldRequest{ID: newID(), ProductID: product, Qty: 1, TTL: 24 * time.Hour})
	return errors.Join(err, l.Close())
}
