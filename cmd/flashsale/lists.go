package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/money"
)

type eventsCmd struct {
	Unmatched  bool `xor:"state" required:"" help:"Events whose hold, order or payment is not known, or does not fit."`
	Unreadable bool `xor:"state" required:"" help:"Verified events that could not be read, and that no readable event has replaced."`
	Stored     bool `xor:"state" required:"" help:"Events that are stored but could not be applied yet. The sweep tries again."`
	Reused     bool `xor:"state" required:"" help:"Events whose id belongs to another event. They had no effect."`
	Disputes   bool `xor:"state" required:"" help:"Events that opened a dispute which has no outcome yet, one per dispute."`
	JSON       bool `help:"Print the list as JSON."`
}

// Run lists the payment events that need an operator's attention.
func (c eventsCmd) Run(env environment) error {
	state, noun, none := ledger.EventUnmatched, "event", "No event is %s.\n"
	switch {
	case c.Unreadable:
		state = ledger.EventUnreadable
	case c.Stored:
		state = ledger.EventStored
	case c.Reused:
		state = ledger.EventReused
	case c.Disputes:
		state, noun, none = ledger.EventDisputes, "dispute", "There are no open %s.\n"
	}
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		events, err := op.Events(ctx, state, admin.MaxListed)
		if err != nil {
			return err
		}
		switch {
		case c.JSON:
			err = printJSON(env.out, append([]ledger.ListedEvent{}, events.Entries...))
		case len(events.Entries) == 0:
			err = write(env.out, none, state)
		default:
			err = printEvents(env.out, events.Entries)
		}
		if err != nil {
			return err
		}
		return printMore(env, c.JSON, events.More(), noun, "newest")
	})
}

func printEvents(out io.Writer, events []ledger.ListedEvent) error {
	return printTable(out, "EVENT\tPROVIDER\tTYPE\tORDER\tPAYMENT\tAMOUNT\tDELIVERIES\tFIRST\tLAST\tNEXT TRY\tDETAIL", events, func(e ledger.ListedEvent) []string {
		return []string{
			e.EventID, e.Provider, e.Type, e.OrderID, e.PaymentID, optionalMoney(e.Amount), fmt.Sprint(e.Deliveries),
			e.FirstAt.Format(time.RFC3339), optionalTime(e.LastAt), optionalTime(e.RetryAt), e.Detail,
		}
	})
}

type unmatchedCmd struct {
	JSON bool `help:"Print the list as JSON."`
}

// unmatchedEvent is an unmatched event in the JSON of the command.
type unmatchedEvent struct {
	Provider   string         `json:"provider"`
	EventID    string         `json:"event_id"`
	Type       string         `json:"type"`
	OrderID    string         `json:"order_id,omitempty"` // as the event names it
	PaymentID  string         `json:"payment_id"`
	Paid       checkout.Money `json:"paid"` // zero when the event has no amount
	Deliveries int            `json:"deliveries"`
	ReceivedAt time.Time      `json:"received_at"`
}

// Run lists the payment events without a hold, order or payment: `events --unmatched` in its earlier form.
func (c unmatchedCmd) Run(env environment) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		found, err := op.Events(ctx, ledger.EventUnmatched, admin.MaxListed)
		if err != nil {
			return err
		}
		events := make([]unmatchedEvent, len(found.Entries))
		for i, e := range found.Entries {
			events[i] = unmatchedEvent{
				Provider: e.Provider, EventID: e.EventID, Type: e.Type, OrderID: e.OrderID, PaymentID: e.PaymentID,
				Deliveries: e.Deliveries, ReceivedAt: e.FirstAt,
			}
			if e.Amount != nil {
				events[i].Paid = *e.Amount
			}
		}
		switch {
		case c.JSON:
			err = printJSON(env.out, events)
		case len(events) == 0:
			err = write(env.out, "No event is unmatched.\n")
		default:
			err = printTable(env.out, "EVENT\tPROVIDER\tTYPE\tORDER\tPAYMENT\tPAID\tDELIVERIES\tRECEIVED", events, func(e unmatchedEvent) []string {
				paid := ""
				if e.Paid != (checkout.Money{}) {
					paid = money.Format(e.Paid)
				}
				return []string{e.EventID, e.Provider, e.Type, e.OrderID, e.PaymentID, paid, fmt.Sprint(e.Deliveries), e.ReceivedAt.Format(time.RFC3339)}
			})
		}
		if err != nil {
			return err
		}
		return printMore(env, c.JSON, found.More(), "event", "newest")
	})
}

func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// printTable prints a table with one row per entry. An empty cell is "-".
func printTable[T any](out io.Writer, head string, entries []T, row func(T) []string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if err := write(table, "%s\n", head); err != nil {
		return err
	}
	for _, entry := range entries {
		cells := row(entry)
		for i := range cells {
			cells[i] = cell(cells[i])
		}
		if err := write(table, "%s\n", strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return table.Flush()
}

// cell keeps text of other programs from breaking a table or controlling the terminal.
func cell(text string) string {
	if text == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// printMore says how many entries a list leaves out. Beside JSON and CSV, which a program reads, it goes to stderr.
func printMore(env environment, toStderr bool, more int64, noun, shown string) error {
	if more == 0 {
		return nil
	}
	return printTo(env, toStderr, "And %s more: these are the %s.\n", plural(more, noun), shown)
}

func printTo(env environment, toStderr bool, format string, args ...any) error {
	if toStderr {
		return write(env.stderr, format, args...)
	}
	return write(env.out, format, args...)
}

func plural(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

func optionalMoney(m *checkout.Money) string {
	if m == nil {
		return ""
	}
	return strings.TrimSpace(money.Format(*m))
}

func optionalTime(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.Format(time.RFC3339)
}
