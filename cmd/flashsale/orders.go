package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/money"
)

type ordersCmd struct {
	List   ordersListCmd   `cmd:"" default:"withargs" help:"List orders, the newest first. This is the default: orders --json works as well."`
	Cancel ordersCancelCmd `cmd:"" help:"Cancel unpaid orders: their units can be sold again. If a payment comes later, the order takes units again if any are available. Name the orders, or select them with flags."`
}

type ordersCancelCmd struct {
	IDs []string `arg:"" optional:"" name:"id" help:"The orders' ids: ord_ and 26 characters." placeholder:"ord_…"`
	endFlags
}

// Run cancels unpaid orders.
func (c ordersCancelCmd) Run(env environment) error { return cancelling.run(env, c.IDs, c.endFlags) }

type ordersListCmd struct {
	Product   string `help:"Only orders of this product." placeholder:"ID"`
	Status    string `help:"Only orders with this status: pending_payment, paid, cancelled, refund_due or refunded." placeholder:"STATUS"`
	Reference string `help:"Only orders with this reference, the merchant's own number that came with the order." placeholder:"TEXT"`
	Since     string `help:"Only orders created since this time (RFC 3339), or in a time up to now, such as 24h." placeholder:"TIME"`
	JSON      bool   `xor:"format" help:"Print the list as JSON."`
	CSV       bool   `name:"csv" xor:"format" help:"Print the list as CSV with a header row."`
}

// Run lists the orders, newest first.
func (c ordersListCmd) Run(env environment) error {
	filter := ledger.OrderFilter{ProductID: c.Product, Status: checkout.OrderStatus(c.Status), Reference: c.Reference}
	if c.Product != "" && !checkout.ValidProductID(c.Product) {
		return fmt.Errorf("%w: --product is %q, expected 1 to 64 of a-z 0-9 -", errUsage, c.Product)
	}
	switch filter.Status {
	case "", checkout.OrderPendingPayment, checkout.OrderPaid, checkout.OrderCancelled, checkout.OrderRefundDue, checkout.OrderRefunded:
	default:
		return fmt.Errorf("%w: --status is %q, expected %s, %s, %s, %s or %s", errUsage, c.Status, checkout.OrderPendingPayment,
			checkout.OrderPaid, checkout.OrderCancelled, checkout.OrderRefundDue, checkout.OrderRefunded)
	}
	if !checkout.ValidReference(c.Reference) {
		return fmt.Errorf("%w: --reference is %q, %s", errUsage, c.Reference, checkout.ReferenceRule)
	}
	if c.Since != "" {
		since, err := parseSince(c.Since)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		filter.Since = &since
	}
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		orders, err := op.Orders(ctx, filter, admin.MaxListed)
		if err != nil {
			return err
		}
		switch {
		case c.JSON:
			err = printJSON(env.out, append([]ledger.ListedOrder{}, orders.Entries...))
		case c.CSV:
			err = printOrdersCSV(env.out, orders.Entries)
		case len(orders.Entries) == 0:
			err = write(env.out, "No order was found.\n")
		default:
			err = printOrders(env.out, orders.Entries)
		}
		if err != nil {
			return err
		}
		if orders.Total == ledger.MaxCounted {
			return printTo(env, c.JSON || c.CSV, "And more, of at least %d in all: narrow the list with --product, --status, --reference or --since.\n", orders.Total)
		}
		return printMore(env, c.JSON || c.CSV, orders.More(), "order", "newest")
	})
}

func parseSince(text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return time.Now().Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("--since is %q, expected a time such as 2026-11-27T09:00:00Z or a duration such as 24h", text)
}

func printOrders(out io.Writer, orders []ledger.ListedOrder) error {
	return printTable(out, "ORDER\tPRODUCT\tQTY\tAMOUNT\tSTATUS\tREASON\tRECEIVED\tRETURNED\tOWED\tCREATED\tREFERENCE", orders, func(o ledger.ListedOrder) []string {
		return []string{
			o.OrderID, o.ProductID, strconv.FormatInt(o.Qty, 10), money.Format(o.Amount), string(o.Status), string(o.Reason),
			sums(o.Received), sums(o.Returned), sums(o.Owed), o.CreatedAt.Format(time.RFC3339), o.Reference,
		}
	})
}

// sums joins the money of several currencies.
func sums(all []checkout.Money) string {
	texts := make([]string, len(all))
	for i, m := range all {
		texts[i] = money.Format(m)
	}
	return strings.Join(texts, " + ")
}

// printOrdersCSV prints received, returned and owed as numbers in the order's currency. Money in other currencies has a
// column of its own.
func printOrdersCSV(out io.Writer, orders []ledger.ListedOrder) error {
	table := csv.NewWriter(out)
	rows := [][]string{{
		"order_id", "product_id", "qty", "amount", "currency", "status", "reason", "received", "returned", "owed", "other_currencies", "created_at", "reference",
	}}
	for _, o := range orders {
		row := []string{o.OrderID, o.ProductID, strconv.FormatInt(o.Qty, 10), decimal(o.Amount), o.Amount.Currency, string(o.Status), string(o.Reason)}
		var others []string
		for _, sum := range []struct {
			name string
			all  []checkout.Money
		}{{"received", o.Received}, {"returned", o.Returned}, {"owed", o.Owed}} {
			own := checkout.Money{Currency: o.Amount.Currency}
			for _, m := range sum.all {
				if m.Currency == own.Currency {
					own.Amount = m.Amount
				} else {
					others = append(others, sum.name+" "+money.Format(m))
				}
			}
			row = append(row, decimal(own))
		}
		rows = append(rows, append(row, strings.Join(others, "; "), o.CreatedAt.Format(time.RFC3339), csvText(o.Reference)))
	}
	return table.WriteAll(rows)
}

// csvText is text in a CSV that no spreadsheet takes for a formula. Shoppers can choose a reference.
// https://owasp.org/www-community/attacks/CSV_Injection
func csvText(text string) string {
	if strings.ContainsAny(text[:min(1, len(text))], "=+-@") {
		return "'" + text
	}
	return text
}

// decimal formats minor units as 49.99, without the currency.
func decimal(m checkout.Money) string { return strings.TrimSuffix(money.Format(m), " "+m.Currency) }

type orderCmd struct {
	ID   string `arg:"" help:"The order's id: ord_ and 26 characters." placeholder:"ord_…"`
	JSON bool   `help:"Print it as JSON."`
}

// Run shows one order with its hold, payments, refunds and events.
func (c orderCmd) Run(env environment) error {
	id, ok := checkout.ParseOrderID(c.ID)
	if !ok {
		return fmt.Errorf("%w: the order is %q, expected ord_ and 26 characters", errUsage, c.ID)
	}
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		history, err := op.OrderHistory(ctx, id)
		if checkout.CodeOf(err) == checkout.CodeOrderNotFound {
			return &checkout.Error{Code: checkout.CodeOrderNotFound, Detail: "There is no order " + c.ID + "."}
		}
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.out, history)
		}
		return printHistory(env.out, history)
	})
}

func printHistory(out io.Writer, h ledger.OrderHistory) error {
	o := h.Order
	reason := ""
	if o.Reason != "" {
		reason = " (" + string(o.Reason) + ")"
	}
	reference := ""
	if o.Reference != "" {
		reference = "\nReference " + o.Reference
	}
	if err := write(out, "Order  %s: %s%s, %d of %s, %s; created %s, pay by %s, changed %s%s\nHold   %s: %s; placed %s, expires %s\nShopper %s\n",
		o.OrderID, o.Status, reason, o.Qty, o.ProductID, money.Format(o.Amount), stamp(o.CreatedAt), stamp(o.PayBy), stamp(o.UpdatedAt), reference,
		h.Hold.HoldID, h.Hold.Status, stamp(h.Hold.CreatedAt), stamp(h.Hold.ExpiresAt), h.Hold.Shopper); err != nil {
		return err
	}
	if err := printSection(out, "Payments", "PAYMENT\tPROVIDER\tRECEIVED\tRETURNED\tREFUND FAILED\tOWED\tRIGHT AMOUNT\tSETTLES\tFIRST", h.Payments, func(p ledger.PaymentRecord) []string {
		in := func(amount int64) string { return money.Format(checkout.Money{Amount: amount, Currency: p.Currency}) }
		return []string{p.PaymentID, p.Provider, in(p.Received), in(p.Returned), in(p.Unsent), in(p.Owed), yes(p.Exact), yes(p.Settles), stamp(p.CreatedAt)}
	}); err != nil {
		return err
	}
	if err := printSection(out, "Refunds and disputes", "REFUND\tPROVIDER\tPAYMENT\tKIND\tSTATUS\tAMOUNT\tFIRST\tOPERATOR\tNOTE", h.Refunds, func(r ledger.RefundRecord) []string {
		amount := "all"
		if r.Amount != nil {
			amount = optionalMoney(r.Amount)
		}
		return []string{r.RefundID, r.Provider, r.PaymentID, string(r.Kind), string(r.Status), amount, stamp(r.CreatedAt), r.Operator, r.Note}
	}); err != nil {
		return err
	}
	if err := printSection(out, "Events", "RECEIVED\tTYPE\tPROVIDER\tEVENT\tPAYMENT\tAMOUNT\tRESULT\tDELIVERIES", h.Events, func(e ledger.EventRecord) []string {
		return []string{stamp(e.ReceivedAt), e.Type, e.Provider, e.EventID, e.PaymentID, optionalMoney(e.Amount), string(e.Result), strconv.Itoa(e.Deliveries)}
	}); err != nil {
		return err
	}
	if len(h.Rejected) == 0 {
		return nil
	}
	return printSection(out, "Rejected events, without effect", "RECEIVED\tTYPE\tPROVIDER\tEVENT\tPAYMENT\tAMOUNT\tDELIVERIES\tDETAIL", h.Rejected, func(e ledger.ListedEvent) []string {
		return []string{stamp(e.FirstAt), e.Type, e.Provider, e.EventID, e.PaymentID, optionalMoney(e.Amount), strconv.Itoa(e.Deliveries), e.Detail}
	})
}

func printSection[T any](out io.Writer, title, head string, entries []T, row func(T) []string) error {
	if len(entries) == 0 {
		return write(out, "\n%s: none\n", title)
	}
	if err := write(out, "\n%s:\n", title); err != nil {
		return err
	}
	return printTable(out, head, entries, row)
}

func stamp(at time.Time) string { return at.Format(time.RFC3339) }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
