package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/money"
)

type auditCmd struct {
	JSON bool `help:"Print the result as JSON."`
}

func (c auditCmd) Run(env environment) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		audit, err := op.Audit(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			encoder := json.NewEncoder(env.out)
			encoder.SetIndent("", "  ")
			err = encoder.Encode(audit)
		} else {
			err = printAudit(env, audit)
		}
		if err == nil && !audit.Clean {
			err = fmt.Errorf("%w: the audit is not clean: %s", errRefused, plural(int64(audit.BrokenCount()), "broken invariant"))
		}
		return err
	})
}

// notKnown lists the changes that no audit can find.
const notKnown = `Not known, because it leaves no evidence:
  - a changed stock, price or name of a product
  - a hold that was deleted and taken out of its product's counters and checksum
  - a refund with an id record:… that no operator recorded: compare it with the log of the admin function
`

func printAudit(env environment, a ledger.Audit) error {
	out := &strings.Builder{}
	fmt.Fprintf(out, "Audited %s, %s, %s, %s, %s.\n", plural(a.Products, "product"), plural(a.Holds, "hold"), plural(a.Orders, "order"),
		plural(a.Payments, "payment"), plural(a.Events, "payment event"))
	for _, m := range a.Money {
		format := func(amount int64) string { return money.Format(checkout.Money{Amount: amount, Currency: m.Currency}) }
		fmt.Fprintf(out, "Money: received %s = sold %s + returned %s + owed %s\n", format(m.Received), format(m.Sold), format(m.Returned), format(m.Owed))
		if m.Unmatched > 0 {
			fmt.Fprintf(out, "       unmatched %s more: no order has it (see flashsale events --unmatched)\n", format(m.Unmatched))
		}
		if m.Stored > 0 {
			fmt.Fprintf(out, "       stored %s more: it could not be applied yet (see flashsale events --stored)\n", format(m.Stored))
		}
	}
	for _, f := range a.Broken {
		fmt.Fprintf(out, "BROKEN     %s  %s  %s\n", f.Check, f.Entity, f.Detail)
	}
	for _, f := range a.Attention {
		fmt.Fprintf(out, "attention  %s  %s  %s\n", f.Check, f.Entity, f.Detail)
	}
	for _, check := range slices.Sorted(maps.Keys(a.More)) {
		fmt.Fprintf(out, "and %d more of %s\n", a.More[check], check)
	}
	if a.Clean {
		out.WriteString("Clean: every counter, order and payment follows from the rows and events.\n" + notKnown)
		if a.Unsealed > 0 {
			fmt.Fprintf(out, "  - a change of %s without a checksum: an earlier release placed it, or somebody removed the checksum\n", plural(a.Unsealed, "hold"))
		}
	}
	return write(env.out, "%s", out)
}
