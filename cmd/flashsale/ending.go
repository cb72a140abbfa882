package main

import (
	"context"
	"fmt"
	"strings"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// ending holds the differences between releasing holds and cancelling orders.
type ending struct {
	kind             ledger.ReservationKind
	noun, verb, past string
	example          string
	valid            func(id string) bool
	end              func(context.Context, admin.Operator, admin.Selection) (admin.Ended, error)
}

// endFlags select what to end.
type endFlags struct {
	reservationFlags
	Yes bool `help:"Do it. Without it, the command only says how many the flags select, and exits with 1."`
	jsonFlag
}

var (
	releasing = ending{
		kind: ledger.ReservedByHold, noun: "hold", verb: "release", past: "released", example: "hold_ and 26 characters",
		valid: func(id string) bool { _, ok := checkout.ParseHoldID(id); return ok },
		end: func(ctx context.Context, op admin.Operator, s admin.Selection) (admin.Ended, error) {
			return op.ReleaseHolds(ctx, s)
		},
	}
	cancelling = ending{
		kind: ledger.ReservedByOrder, noun: "order", verb: "cancel", past: "cancelled", example: "ord_ and 26 characters",
		valid: func(id string) bool { _, ok := checkout.ParseOrderID(id); return ok },
		end: func(ctx context.Context, op admin.Operator, s admin.Selection) (admin.Ended, error) {
			return op.CancelOrders(ctx, s)
		},
	}
)

func (e ending) run(env environment, ids []string, flags endFlags) error {
	filter, err := flags.filter()
	if err != nil {
		return err
	}
	switch {
	case flags.given() && len(ids) > 0:
		return fmt.Errorf("%w: expected the ids of the %ss, or flags that select them, not both", errUsage, e.noun)
	case !flags.given() && len(ids) == 0:
		return fmt.Errorf("%w: expected the ids of the %ss, or flags that select them: --product, --older-than, --shopper", errUsage, e.noun)
	}
	for _, id := range ids {
		if !e.valid(id) {
			return fmt.Errorf("%w: the %s is %q, expected %s", errUsage, e.noun, id, e.example)
		}
	}
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		if len(ids) > 0 {
			return e.byID(ctx, env, op, ids, flags.jsonFlag)
		}
		return e.byFilter(ctx, env, op, filter, flags)
	})
}

// byID ends the named ones. It fails if any of them could not be ended.
func (e ending) byID(ctx context.Context, env environment, op admin.Operator, ids []string, format jsonFlag) (err error) {
	all := nothingEnded()
	for len(ids) > 0 && err == nil {
		n := min(len(ids), admin.MaxEnded)
		_, err = e.step(ctx, env, op, admin.Selection{IDs: ids[:n]}, &all, format)
		ids = ids[n:]
	}
	if err := e.finish(env, all, err, format); err != nil || len(all.Refused) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s not %s", errRefused, plural(int64(len(all.Refused)), e.noun), e.past)
}

// byFilter ends what the filter selects when the command starts, in several steps if there are many.
func (e ending) byFilter(ctx context.Context, env environment, op admin.Operator, filter ledger.ReservationFilter, flags endFlags) error {
	filter.Kind = e.kind
	found, err := op.Reservations(ctx, filter, 1)
	if err != nil {
		return err
	}
	if found.Total == 0 {
		if err := checkProduct(ctx, op, filter.ProductID); err != nil {
			return err
		}
		return flags.print(env, nothingEnded(), "No %s to %s was found.\n", e.noun, e.verb)
	}
	if !flags.Yes {
		return fmt.Errorf("%w: this would %s %s%s with %s; add --yes to do it", errRefused, e.verb, atLeast(found), plural(found.Total, e.noun), plural(found.Units, "unit"))
	}
	placedBy := found.AsOf.Add(-filter.OlderThan) // later ones stay, or this might never end
	filter.PlacedBy, filter.OlderThan = &placedBy, 0
	all := nothingEnded()
	for more := true; more && err == nil; {
		more, err = e.step(ctx, env, op, admin.Selection{Filter: &filter}, &all, flags.jsonFlag)
	}
	return e.finish(env, all, err, flags.jsonFlag)
}

// finish prints what was ended in all. After a failure it prints that only as JSON, since the lines are printed already.
func (e ending) finish(env environment, all admin.Ended, failure error, format jsonFlag) error {
	var err error
	switch {
	case format.JSON:
		err = printJSON(env.out, all)
	case failure == nil:
		err = e.printSum(env, all)
	}
	if failure != nil {
		return failure
	}
	return err
}

func nothingEnded() admin.Ended {
	return admin.Ended{IDs: []string{}, Earlier: []string{}, Refused: []admin.Refusal{}}
}

// addEnded adds what one call did.
func addEnded(all *admin.Ended, done admin.Ended) {
	all.IDs, all.Units = append(all.IDs, done.IDs...), all.Units+done.Units
	all.Earlier, all.Refused = append(all.Earlier, done.Earlier...), append(all.Refused, done.Refused...)
}

// step makes one call, prints what it did, and adds it to all.
func (e ending) step(ctx context.Context, env environment, op admin.Operator, s admin.Selection, all *admin.Ended, format jsonFlag) (more bool, err error) {
	done, err := e.end(ctx, op, s)
	if code := checkout.CodeOf(err); err != nil && (code == "" || code == checkout.CodeBusy) {
		err = fmt.Errorf("%w (some may have been %s: the same command can be repeated)", err, e.past)
	}
	addEnded(all, done)
	if !format.JSON {
		if printErr := e.printEnded(env, done); err == nil {
			err = printErr
		}
	}
	return done.Left > 0, err
}

func (e ending) printEnded(env environment, done admin.Ended) error {
	var text strings.Builder
	for _, id := range done.IDs {
		text.WriteString(id + "  " + e.past + "\n")
	}
	for _, id := range done.Earlier {
		text.WriteString(id + "  had ended before\n")
	}
	for _, r := range done.Refused {
		text.WriteString(cell(r.ID) + "  not " + e.past + ": " + cell(r.Detail) + "\n")
	}
	return write(env.out, "%s", text.String())
}

func (e ending) printSum(env environment, all admin.Ended) error {
	return write(env.out, "%s%s: %s with %s.\n", strings.ToUpper(e.past[:1]), e.past[1:], plural(int64(len(all.IDs)), e.noun), plural(all.Units, "unit"))
}
