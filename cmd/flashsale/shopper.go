package main

import (
	"context"
	"errors"
	"fmt"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

type shopperCmd struct {
	Block   shopperBlockCmd   `cmd:"" help:"Keep a shopper from placing holds, release the shopper's holds and cancel the unpaid orders. Repeat it to end holds that were placed meanwhile."`
	Unblock shopperUnblockCmd `cmd:"" help:"Let a shopper place holds again."`
	List    shopperListCmd    `cmd:"" help:"List the blocked shoppers."`
}

// shopperFlags name a shopper.
type shopperFlags struct {
	ID      string `arg:"" optional:"" help:"The shopper's id, as the log and flashsale holds show it." placeholder:"shopper_…"`
	Issuer  string `help:"Instead of the id: the issuer of the shopper's tokens (iss)." placeholder:"URL"`
	Subject string `help:"Instead of the id: the shopper's name at the issuer (sub)." placeholder:"TEXT"`
}

func (f shopperFlags) shopper() (checkout.Shopper, error) {
	switch {
	case f.ID == "" && f.Issuer != "" && f.Subject != "":
		return checkout.ShopperOf(f.Issuer, f.Subject), nil
	case f.ID == "" || f.Issuer != "" || f.Subject != "":
		return checkout.Shopper{}, fmt.Errorf("%w: expected the shopper's id, or --issuer and --subject", errUsage)
	}
	shopper, ok := checkout.ParseShopper(f.ID)
	if !ok {
		return shopper, fmt.Errorf("%w: the shopper is %q, expected shopper_ and 26 characters", errUsage, f.ID)
	}
	return shopper, nil
}

type shopperBlockCmd struct {
	shopperFlags
	jsonFlag
}

// blockedNow is the result of blocking, in the JSON of the command.
type blockedNow struct {
	Shopper string `json:"shopper"`
	admin.Block
}

// Run blocks a shopper and takes back the units that are not paid.
func (c shopperBlockCmd) Run(env environment) error {
	shopper, err := c.shopper()
	if err != nil {
		return err
	}
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		all := blockedNow{Shopper: shopper.String(), Block: admin.Block{Holds: nothingEnded(), Orders: nothingEnded()}}
		for first, more := true, true; more; first = false {
			b, err := op.BlockShopper(ctx, shopper)
			if code := checkout.CodeOf(err); err != nil && (code == "" || code == checkout.CodeBusy) {
				err = fmt.Errorf("%w (the shopper may be blocked: the same command can be repeated)", err)
			}
			if err != nil && c.JSON && !first {
				err = errors.Join(err, printJSON(env.out, all)) // what the calls before have released and cancelled
			}
			if err != nil {
				return err
			}
			if first {
				all.Again, all.Unseen = b.Again, b.Unseen
			}
			addEnded(&all.Holds, b.Holds)
			addEnded(&all.Orders, b.Orders)
			if !c.JSON {
				if err := printBlock(env, shopper, b, first); err != nil {
					return err
				}
			}
			more = b.Holds.Left+b.Orders.Left > 0
		}
		if c.JSON {
			return printJSON(env.out, all)
		}
		if err := releasing.printSum(env, all.Holds); err != nil {
			return err
		}
		return cancelling.printSum(env, all.Orders)
	})
}

// printBlock prints what one call did.
func printBlock(env environment, shopper checkout.Shopper, b admin.Block, first bool) error {
	if first {
		text := "Blocked: %s.\n"
		if b.Again {
			text = "%s was blocked before.\n"
		}
		if b.Unseen {
			text += "No hold of this shopper is known: check the id, or the issuer and the subject.\n"
		}
		if err := write(env.out, text, shopper); err != nil {
			return err
		}
	}
	if err := releasing.printEnded(env, b.Holds); err != nil {
		return err
	}
	return cancelling.printEnded(env, b.Orders)
}

type shopperUnblockCmd struct {
	shopperFlags
	jsonFlag
}

// Run lets a shopper place holds again.
func (c shopperUnblockCmd) Run(env environment) error {
	shopper, err := c.shopper()
	if err != nil {
		return err
	}
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		changed, err := op.UnblockShopper(ctx, shopper)
		if err != nil {
			return err
		}
		text := "Unblocked: %s.\n"
		if !changed {
			text = "%s was not blocked.\n"
		}
		return c.print(env, struct {
			Shopper string `json:"shopper"`
			Changed bool   `json:"changed"` // false: it was not blocked
		}{shopper.String(), changed}, text, shopper)
	})
}

type shopperListCmd struct {
	JSON bool `help:"Print the list as JSON."`
}

// Run lists the blocked shoppers.
func (c shopperListCmd) Run(env environment) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		blocked, err := op.BlockedShoppers(ctx, admin.MaxListed)
		if err != nil {
			return err
		}
		switch {
		case c.JSON:
			err = printJSON(env.out, append([]ledger.BlockedShopper{}, blocked.Entries...))
		case len(blocked.Entries) == 0:
			err = write(env.out, "No shopper is blocked.\n")
		default:
			err = printTable(env.out, "SHOPPER\tBLOCKED\tOPERATOR", blocked.Entries, func(b ledger.BlockedShopper) []string {
				return []string{b.Shopper, stamp(b.BlockedAt), b.Operator}
			})
		}
		if err != nil {
			return err
		}
		return printMore(env, c.JSON, blocked.More(), "shopper", "latest")
	})
}
