package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/money"
)

type ordersCmd struct {
	Product string `help:"Orders of this product only." placeholder:"ID"`
	Status  string `help:"Orders in this status only." enum:",pending_payment,paid,cancelled,refund_due,refunded" default:"" placeholder:"STATUS"`
	Since   string `help:"Orders made since then only: RFC 3339, or a duration such as 2h." placeholder:"TIME"`
	JSON    bool   `xor:"format" help:"Print the list as JSON."`
	CSV     bool   `xor:"format" help:"Print the list as CSV, with amounts in minor units."`
}

// Run lists orders.
func (c ordersCmd) Run(env environment) error {
	filter := ledger.OrderFilter{ProductID: c.Product, Status: checkout.OrderStatus(c.Status)}
	if c.Since != "" {
		at, err := time.Parse(time.RFC3339, c.Since)
		if ago, durationErr := time.ParseDuration(c.Since); durationErr == nil {
			at, err = time.Now().Add(-ago), nil
		}
		if err != nil {
			return fmt.Errorf("%w: --since is %q, expected a time such as 2026-11-27T09:00:00Z or a duration such as 2h", errUsage, c.Since)
		}
		at = at.UTC()
		filter.Since = &at
	}
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		list, err := op.Orders(ctx, filter, admin.MaxListed)
		if err != nil {
			return err
		}
		if c.CSV {
			return ordersCSV(env, list.Orders)
		}
		return printList(env, c.JSON, list.Orders, list.Total, "There is no such order.", "ORDER\tPRODUCT\tQTY\tAMOUNT\tSTATUS\tRECEIVED\tRETURNED\tOWED\tCREATED", func(o ledger.ListedOrder) string {
			sum := func(amount int64) string {
				return money.Format(checkout.Money{Amount: amount, Currency: o.Amount.Currency})
			}
			return fmt.Sprintf("%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s", o.ID, o.ProductID, o.Qty, money.Format(o.Amount), standing(o), sum(o.Received),
				sum(o.Returned), sum(o.Owed), o.CreatedAt.Format(time.RFC3339))
		})
	})
}

// standing returns an order's status, with its reason.
func standing(o ledger.ListedOrder) string {
	if o.Reason == "" {
		return string(o.Status)
	}
	return string(o.Status) + " (" + string(o.Reason) + ")"
}

func ordersCSV(env environment, orders []ledger.ListedOrder) error {
	w := csv.NewWriter(env.out)
	err := w.Write([]string{"id", "product_id", "qty", "amount", "currency", "status", "reason", "received", "returned", "owed", "pay_by", "created_at", "updated_at"})
	for _, o := range orders {
		number := func(n int64) string { return strconv.FormatInt(n, 10) }
		at := func(t time.Time) string { return t.Format(time.RFC3339Nano) }
		err = errors.Join(err, w.Write([]string{
			o.ID, o.ProductID, number(o.Qty), number(o.Amount.Amount), o.Amount.Currency, string(o.Status), string(o.Reason),
			number(o.Received), number(o.Returned), number(o.Owed), at(o.PayBy), at(o.CreatedAt), at(o.UpdatedAt),
		}))
	}
	w.Flush()
	return errors.Join(err, w.Error())
}

type orderCmd struct {
	ID   string `arg:"" help:"The order's id." placeholder:"ord_…"`
	JSON bool   `help:"Print it as JSON."`
}

// Run shows everything that is known of an order.
func (c orderCmd) Run(env environment) error {
	id, ok := checkout.ParseOrderID(c.ID)
	if !ok {
		return fmt.Errorf("%w: %q is not the id of an order: ord_ and 26 characters", errUsage, c.ID)
	}
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		h, err := op.OrderHistory(ctx, id)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env, h)
		}
		return printHistory(env, h)
	})
}

func printHistory(env environment, h ledger.OrderHistory) error {
	text := &strings.Builder{}
	out := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	at := func(t time.Time) string { return t.Format(time.RFC3339) }
	fmt.Fprintf(out, "Order %s: %s, %d of %s, %s, made %s, to be paid by %s.\n", h.Order.ID, standing(h.Order), h.Order.Qty, h.Order.ProductID,
		money.Format(h.Order.Amount), at(h.Order.CreatedAt), at(h.Order.PayBy))
	fmt.Fprintf(out, "Hold %s: %s, placed %s, until %s.\n", h.Hold.ID, h.Hold.Status, at(h.Hold.CreatedAt), at(h.Hold.ExpiresAt))
	if len(h.Payments) > 0 {
		fmt.Fprint(out, "\nPAYMENT\tPROVIDER\tRECEIVED\tRETURNED\tOWED\tPAYS THE ORDER\n")
	}
	for _, p := range h.Payments {
		sum := func(amount int64) string {
			return money.Format(checkout.Money{Amount: amount, Currency: p.Currency})
		}
		pays := "no"
		if p.Settles {
			pays = "yes"
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\n", p.PaymentID, p.Provider, sum(p.Received), sum(p.Returned), sum(p.Owed), pays)
	}
	if len(h.Refunds) > 0 {
		fmt.Fprint(out, "\nREFUND\tPAYMENT\tKIND\tSTATUS\tAMOUNT (MINOR UNITS)\tAT\tBY\tNOTE\n")
	}
	for _, r := range h.Refunds {
		amount := "all"
		if r.Amount != nil {
			amount = strconv.FormatInt(*r.Amount, 10)
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.RefundID, r.PaymentID, r.Kind, r.Status, amount, at(r.CreatedAt), r.Operator, r.Note)
	}
	if len(h.Events) > 0 {
		fmt.Fprint(out, "\n"+eventHead+"\n")
	}
	for _, e := range h.Events {
		fmt.Fprintln(out, eventRow(e))
	}
	return errors.Join(out.Flush(), write(env.out, "%s", text))
}
