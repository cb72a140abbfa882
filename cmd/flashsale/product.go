package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/money"
)

type productCmd struct {
	Put    productPutCmd    `cmd:"" help:"Create a product, or change the given fields of an existing one."`
	Get    productGetCmd    `cmd:"" help:"Show one product with its stock."`
	List   productListCmd   `cmd:"" help:"List all products with their stock."`
	End    productEndCmd    `cmd:"" help:"End the sale of a product now: no further holds. Existing holds and orders continue."`
	Hide   productHideCmd   `cmd:"" help:"Hide a product: within two seconds shoppers get 404. Existing holds and orders continue."`
	Show   productShowCmd   `cmd:"" help:"Show a hidden product again."`
	Delete productDeleteCmd `cmd:"" help:"Delete a product that has no holds and no orders, such as one with a misspelt id."`
}

type productPutCmd struct {
	ID            string  `arg:"" help:"The merchant's own id: 1 to 64 of a-z 0-9 -"`
	Name          *string `help:"Name (required for a new product)." placeholder:"NAME"`
	Price         *string `help:"Price of one unit, such as 49.99 (required for a new product, with --currency)." placeholder:"49.99"`
	Currency      *string `help:"Currency of the price, ISO 4217." placeholder:"USD"`
	Stock         *int64  `help:"Units put on sale in total (required for a new product). Must cover the units reserved and sold." placeholder:"100"`
	MaxQtyPerHold *int64  `help:"Units that one hold may have (default for a new product: 10)." placeholder:"5"`
	MaxPerShopper *string `help:"Units that one shopper may have held, ordered and bought, or none to remove the limit. Holds then need sign-in." placeholder:"2"`
	Hidden        *bool   `help:"Hide it from shoppers. --hidden=false shows it."`
	SaleStartsAt  *string `help:"Start of the sale: RFC 3339, or none to remove the limit." placeholder:"TIME"`
	SaleEndsAt    *string `help:"End of the sale: RFC 3339, or none to remove the limit." placeholder:"TIME"`
	jsonFlag
}

func (c productPutCmd) Run(env environment) error {
	change, err := c.change()
	if err == nil && change == (checkout.ProductChange{ID: c.ID}) {
		err = errors.New("nothing to change: give the fields that change, such as --stock")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	with := withOperator
	if c.Name != nil && c.Price != nil && c.Stock != nil { // it may be the first product of a new shop
		with = withNewShop
	}
	return with(env, func(ctx context.Context, op admin.Operator) error {
		p, created, err := op.PutProduct(ctx, change)
		if isIncomplete(err) {
			return fmt.Errorf("%w: there is no product %s; a new product needs --name, --price with --currency, and --stock", errRefused, c.ID)
		}
		if err != nil {
			return err
		}
		verb := "Changed"
		if created {
			verb = "Created"
		}
		err = c.print(env, struct {
			Product listedProduct `json:"product"`
			Created bool          `json:"created"`
		}{listed(p), created}, "%s %s: %q, %s, %d of %d available, at most %d per hold%s%s.%s\n", verb, p.ID, p.Name, money.Format(p.Price),
			p.AvailableStock(), p.Stock, p.MaxQtyPerHold, access(p), window(p.SaleStartsAt, p.SaleEndsAt), c.keptPrice(p))
		if err != nil || c.MaxPerShopper == nil || p.MaxPerShopper == nil {
			return err
		}
		return warnWithoutSignIn(env, p.ID)
	})
}

// keptPrice says how many units do not get the given price; empty if none.
func (c productPutCmd) keptPrice(p checkout.Product) string {
	if c.Price == nil || p.ReservedStock == 0 {
		return ""
	}
	return " Holds and unpaid orders of " + plural(p.ReservedStock, "unit") + " keep the price that they were placed at."
}

// isIncomplete reports whether a product was not created because the change does not have all that a new one needs.
func isIncomplete(err error) bool {
	var refused *checkout.Error
	return errors.As(err, &refused) && refused.Code == checkout.CodeInvalidRequest && len(refused.Fields) == 1 && refused.Fields[0].Field == "product"
}

// warnWithoutSignIn says that a limit per shopper keeps everyone out if nobody can sign in.
func warnWithoutSignIn(env environment, id string) error {
	if env.stack == "" {
		if env.config.JWTIssuer != "" {
			return nil
		}
		signIn := "a token of `flashsale token`"
		if len(env.config.WebhookSecrets) == 0 {
			signIn = "signed in by name at /shop, or have " + signIn
		}
		return write(env.stderr, "flashsale: warning: JWT_ISSUER is not set here. If the server has none either, shoppers get 401 for holds of %s, unless they have %s.\n", id, signIn)
	}
	// The product has changed, so an error of this look does not matter.
	if s, err := findStack(env.ctx, env.stack); err != nil || s.parameters[parameterIssuer] != "" {
		return nil //nolint:nilerr // see above
	}
	return write(env.stderr, "flashsale: warning: the stack's parameter JwtIssuer is empty, so shoppers cannot sign in and get 401 for holds of %s.\n", id)
}

func (c productPutCmd) change() (checkout.ProductChange, error) {
	change := checkout.ProductChange{ID: c.ID, Name: c.Name, Stock: c.Stock, MaxQtyPerHold: c.MaxQtyPerHold, Hidden: c.Hidden}
	var err error
	var bad error
	if c.MaxPerShopper != nil {
		change.MaxPerShopper = &checkout.Limit{}
		if bad = change.MaxPerShopper.UnmarshalText([]byte(*c.MaxPerShopper)); bad != nil {
			err = errors.Join(err, fmt.Errorf("--max-per-shopper is %q, %w", *c.MaxPerShopper, bad))
		}
	}
	if change.Price, bad = parsePrice(c.Price, c.Currency); bad != nil {
		err = errors.Join(err, bad)
	}
	if change.SaleStartsAt, bad = parseMoment("--sale-starts-at", c.SaleStartsAt); bad != nil {
		err = errors.Join(err, bad)
	}
	if change.SaleEndsAt, bad = parseMoment("--sale-ends-at", c.SaleEndsAt); bad != nil {
		err = errors.Join(err, bad)
	}
	var refused *checkout.Error
	if errors.As(change.Check(), &refused) {
		for _, f := range refused.Fields {
			if f.Field == "id" {
				err = errors.Join(err, fmt.Errorf("the product is %q, %s", c.ID, f.Detail))
				continue
			}
			err = errors.Join(err, fmt.Errorf("--%s: %s", strings.ReplaceAll(f.Field, "_", "-"), f.Detail))
		}
	}
	return change, err
}

// parsePrice reads 49.99 USD as 4999 minor units.
func parsePrice(price, code *string) (*checkout.Money, error) {
	if price == nil && code == nil {
		return nil, nil //nolint:nilnil // no price was given
	}
	if price == nil || code == nil {
		return nil, errors.New("--price and --currency must be given together")
	}
	if _, known := money.Decimals(strings.ToUpper(*code)); !known {
		return nil, fmt.Errorf("--currency is %q, expected ISO 4217 such as USD", *code)
	}
	m, err := money.Parse(*price, *code)
	if err != nil {
		return nil, fmt.Errorf("--price: %w", err)
	}
	return &m, nil
}

func parseMoment(flag string, text *string) (*checkout.Moment, error) {
	if text == nil {
		return nil, nil //nolint:nilnil // the flag was not given
	}
	m := &checkout.Moment{}
	if err := m.UnmarshalText([]byte(*text)); err != nil {
		return nil, fmt.Errorf("%s is %q, %w", flag, *text, err)
	}
	return m, nil
}

// access describes limits on buying the product, if there are any.
func access(p checkout.Product) string {
	text := ""
	if p.MaxPerShopper != nil {
		text += fmt.Sprintf(", at most %d per shopper", *p.MaxPerShopper)
	}
	if p.Hidden {
		text += ", hidden"
	}
	return text
}

func window(starts, ends *time.Time) string {
	text := ""
	if starts != nil {
		text += ", from " + starts.Format(time.RFC3339)
	}
	if ends != nil {
		text += ", until " + ends.Format(time.RFC3339)
	}
	return text
}

type productArg struct {
	ID string `arg:"" help:"The product's id."`
}

// named adds the product's id to an error about it.
func (a productArg) named(err error) error {
	if checkout.CodeOf(err) == checkout.CodeProductNotFound {
		return &checkout.Error{Code: checkout.CodeProductNotFound, Detail: fmt.Sprintf("There is no product %q.", a.ID)}
	}
	return err
}

// changedProduct is the result of ending, hiding and showing, in the JSON of the commands.
type changedProduct struct {
	Product listedProduct `json:"product"`
	Changed bool          `json:"changed"` // false: it was so before
}

// continuing says what continues after the end of a sale; empty if nothing does.
func continuing(p checkout.Product) string {
	if p.ReservedStock == 0 {
		return ""
	}
	return " Holds and unpaid orders of " + plural(p.ReservedStock, "unit") + " continue."
}

type productEndCmd struct {
	productArg
	jsonFlag
}

// Run ends a product's sale.
func (c productEndCmd) Run(env environment) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		p, changed, err := op.EndSale(ctx, c.ID)
		if err != nil {
			return c.named(err)
		}
		if !changed {
			return c.print(env, changedProduct{listed(p), changed}, "The sale of %s had ended before, at %s.\n", p.ID, optionalTime(p.SaleEndsAt))
		}
		return c.print(env, changedProduct{listed(p), changed}, "Ended the sale of %s at %s.%s\n", p.ID, optionalTime(p.SaleEndsAt), continuing(p))
	})
}

type productHideCmd struct {
	productArg
	jsonFlag
}

// Run hides a product.
func (c productHideCmd) Run(env environment) error { return c.hide(env, true, c.jsonFlag) }

type productShowCmd struct {
	productArg
	jsonFlag
}

// Run shows a product.
func (c productShowCmd) Run(env environment) error { return c.hide(env, false, c.jsonFlag) }

type productDeleteCmd struct {
	productArg
	jsonFlag
}

// Run deletes a product that nobody has held.
func (c productDeleteCmd) Run(env environment) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		if err := op.DeleteProduct(ctx, c.ID); err != nil {
			return c.named(err)
		}
		return c.print(env, map[string]string{"deleted": c.ID}, "Deleted %s.\n", c.ID)
	})
}

func (a productArg) hide(env environment, hidden bool, format jsonFlag) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		p, changed, err := op.HideProduct(ctx, a.ID, hidden)
		if err != nil {
			return a.named(err)
		}
		state, before, more := "shown", "", ""
		if hidden {
			state, more = "hidden", continuing(p)
		}
		if !changed {
			before = " already"
		}
		return format.print(env, changedProduct{listed(p), changed}, "%s is %s%s.%s\n", p.ID, state, before, more)
	})
}
