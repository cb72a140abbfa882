package main

import (
	"context"
	"fmt"
	"time"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/money"
)

type eventsCmd struct {
	Unmatched  bool `xor:"state" required:"" help:"Events whose order or payment is not known."`
	Unreadable bool `xor:"state" required:"" help:"Events with a valid signature that cannot be read."`
	Stored     bool `xor:"state" required:"" help:"Events that could not be applied yet; the sweep tries them again."`
	Reused     bool `xor:"state" required:"" help:"Events with the id of another event."`
	JSON       bool `help:"Print the list as JSON."`
}

// Run lists payment events that need an operator's look.
func (c eventsCmd) Run(env environment) error {
	state := ledger.EventsUnmatched
	switch {
	case c.Unreadable:
		state = ledger.EventsUnreadable
	case c.Stored:
		state = ledger.EventsStored
	case c.Reused:
		state = ledger.EventsReused
	}
	return listEvents(env, state, c.JSON)
}

func listEvents(env environment, state ledger.EventState, asJSON bool) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		list, err := op.Events(ctx, state, admin.MaxListed)
		if err != nil {
			return err
		}
		return printList(env, asJSON, list.Events, list.Total, "No event is "+string(state)+".", eventHead, eventRow)
	})
}

const eventHead = "EVENT\tPROVIDER\tTYPE\tORDER\tPAYMENT\tAMOUNT\tRESULT\tDELIVERIES\tFIRST\tDETAIL"

func eventRow(e ledger.ListedEvent) string {
	amount := "-"
	if e.Amount != (checkout.Money{}) {
		amount = money.Format(e.Amount)
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s", e.EventID, e.Provider, e.Type, e.OrderID, e.PaymentID, amount, e.Result,
		e.Deliveries, e.FirstAt.Format(time.RFC3339), e.Detail)
}

type unmatchedCmd struct {
	JSON bool `help:"Print the list as JSON."`
}

// Run lists the payment events whose order or payment is not known.
func (c unmatchedCmd) Run(env environment) error {
	return listEvents(env, ledger.EventsUnmatched, c.JSON)
}
