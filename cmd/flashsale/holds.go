package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

type holdsCmd struct {
	List    holdsListCmd    `cmd:"" default:"withargs" help:"List the active holds and the unpaid orders, the oldest first. This is the default: holds --json works as well."`
	Release holdsReleaseCmd `cmd:"" help:"Release active holds now: their units can be sold again. Name them, or select them with flags."`
}

// reservationFlags select active holds and unpaid orders.
type reservationFlags struct {
	Product   string        `help:"Only of this product." placeholder:"ID"`
	OlderThan time.Duration `help:"Only holds placed at least this long ago, and their orders, such as 30s." placeholder:"DURATION"`
	Shopper   string        `help:"Only of this shopper: shopper_ and 26 characters, or anonymous." placeholder:"ID"`
}

func (f reservationFlags) given() bool { return f != reservationFlags{} }

func (f reservationFlags) filter() (ledger.ReservationFilter, error) {
	_, signedIn := checkout.ParseShopper(f.Shopper)
	anonymous := checkout.Shopper{}.String()
	switch {
	case f.Product != "" && !checkout.ValidProductID(f.Product):
		return ledger.ReservationFilter{}, fmt.Errorf("%w: --product is %q, expected 1 to 64 of a-z 0-9 -", errUsage, f.Product)
	case f.OlderThan < 0:
		return ledger.ReservationFilter{}, fmt.Errorf("%w: --older-than is %s, expected a duration such as 30s", errUsage, f.OlderThan)
	case f.Shopper != "" && f.Shopper != anonymous && !signedIn:
		return ledger.ReservationFilter{}, fmt.Errorf("%w: --shopper is %q, expected shopper_ and 26 characters, or %s", errUsage, f.Shopper, anonymous)
	}
	return ledger.ReservationFilter{ProductID: f.Product, OlderThan: f.OlderThan, Shopper: f.Shopper}, nil
}

type holdsListCmd struct {
	reservationFlags
	Limit int  `default:"100" help:"List at most this many, 1 to 1000. The totals cover all." placeholder:"N"`
	JSON  bool `help:"Print the list as JSON."`
}

// Run lists the reservations.
func (c holdsListCmd) Run(env environment) error {
	filter, err := c.filter()
	if err != nil {
		return err
	}
	if c.Limit < 1 || c.Limit > admin.MaxListed {
		return fmt.Errorf("%w: --limit is %d, expected 1 to %d", errUsage, c.Limit, admin.MaxListed)
	}
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		found, err := op.Reservations(ctx, filter, c.Limit)
		if err != nil {
			return err
		}
		if found.Total == 0 {
			if err := checkProduct(ctx, op, filter.ProductID); err != nil {
				return err
			}
		}
		switch {
		case c.JSON:
			err = printJSON(env.out, append([]ledger.Reservation{}, found.Entries...))
		case len(found.Entries) == 0:
			err = write(env.out, "No active hold and no unpaid order was found.\n")
		default:
			err = printReservations(env, found)
		}
		if err != nil {
			return err
		}
		return printMore(env, c.JSON, found.More(), "reservation", "oldest")
	})
}

// checkProduct refuses an id that no product has. An empty id stands for all products.
func checkProduct(ctx context.Context, op admin.Operator, id string) error {
	if id == "" {
		return nil
	}
	_, err := findProduct(ctx, op, id)
	return productArg{ID: id}.named(err)
}

func printReservations(env environment, found ledger.Reservations) error {
	err := printTable(env.out, "ID\tKIND\tPRODUCT\tQTY\tSHOPPER\tSINCE\tUNTIL", found.Entries, func(r ledger.Reservation) []string {
		kind := "hold"
		if r.Kind == ledger.ReservedByOrder {
			kind = "unpaid order"
		}
		return []string{r.ID, kind, r.ProductID, strconv.FormatInt(r.Qty, 10), r.Shopper, stamp(r.Since), stamp(r.Until)}
	})
	if err != nil {
		return err
	}
	most := make([]string, len(found.Shoppers))
	for i, s := range found.Shoppers {
		most[i] = s.Shopper + " " + plural(s.Units, "unit")
	}
	return write(env.out, "Reserved: %s%s in %s. Shoppers with the most: %s.\n", atLeast(found), plural(found.Units, "unit"),
		plural(found.Total, "reservation"), strings.Join(most, ", "))
}

// atLeast says that a list is too long to count.
func atLeast(found ledger.Reservations) string {
	if found.Total >= ledger.MaxReservations {
		return "at least "
	}
	return ""
}

type holdsReleaseCmd struct {
	IDs []string `arg:"" optional:"" name:"id" help:"The holds' ids: hold_ and 26 characters." placeholder:"hold_…"`
	endFlags
}

// Run releases holds.
func (c holdsReleaseCmd) Run(env environment) error { return releasing.run(env, c.IDs, c.endFlags) }
