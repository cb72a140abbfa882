package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

type refundsCmd struct {
	JSON bool `help:"Print the list as JSON."`
}

// Run lists the refunds that the shop owes its customers.
func (c refundsCmd) Run(env environment) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		due, err := op.RefundsDue(ctx, admin.MaxListed)
		if err != nil {
			return err
		}
		return printList(env, c.JSON, due, "No refund is due.", "ORDER\tTO REFUND\tREASON\tPROVIDER\tPAYMENT\tSINCE", func(r ledger.RefundDue) string {
			return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", r.OrderID, money(r.Paid), r.Reason, r.Provider, r.PaymentID, r.Since.Format(time.RFC3339))
		})
	})
}

type unmatchedCmd struct {
	JSON bool `help:"Print the list as JSON."`
}

// Run lists the payment events without a hold or order.
func (c unmatchedCmd) Run(env environment) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		events, err := op.Unmatched(ctx, admin.MaxListed)
		if err != nil {
			return err
		}
		return printList(env, c.JSON, events, "No event is unmatched.", "EVENT\tPROVIDER\tTYPE\tORDER\tPAYMENT\tPAID\tDELIVERIES\tRECEIVED", func(e ledger.UnmatchedEvent) string {
			paid := "-"
			if e.Paid != (checkout.Money{}) {
				paid = money(e.Paid)
			}
			return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s", e.EventID, e.Provider, e.Type, e.OrderID, e.PaymentID, paid, e.Deliveries, e.ReceivedAt.Format(time.RFC3339))
		})
	})
}

// printList prints a table, or a JSON array, which may be empty.
func printList[T any](env environment, asJSON bool, list []T, empty, head string, row func(T) string) error {
	if asJSON {
		encoder := json.NewEncoder(env.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(append([]T{}, list...))
	}
	if len(list) == 0 {
		return write(env.out, "%s\n", empty)
	}
	table := tabwriter.NewWriter(env.out, 0, 0, 2, ' ', 0)
	if err := write(table, "%s\n", head); err != nil {
		return err
	}
	for _, entry := range list {
		if err := write(table, "%s\n", row(entry)); err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil || len(list) < admin.MaxListed {
		return err
	}
	return write(env.out, "These are the first %d; there may be more.\n", admin.MaxListed)
}
