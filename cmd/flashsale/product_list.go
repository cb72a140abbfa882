package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/money"
)

// listedProduct is a product in the JSON of the command: as in the API, and with what only operators see.
type listedProduct struct {
	ID             string         `json:"id"`
	Name           string         `json:"name"`
	Price          checkout.Money `json:"price"`
	Stock          int64          `json:"stock"`
	ReservedStock  int64          `json:"reserved_stock"`
	SoldStock      int64          `json:"sold_stock"`
	AvailableStock int64          `json:"available_stock"`
	MaxQtyPerHold  int64          `json:"max_qty_per_hold"`
	MaxPerShopper  *int64         `json:"max_per_shopper,omitempty"`
	Hidden         bool           `json:"hidden"`
	SaleStartsAt   *time.Time     `json:"sale_starts_at,omitempty"`
	SaleEndsAt     *time.Time     `json:"sale_ends_at,omitempty"`
	AsOf           time.Time      `json:"as_of"`
}

func listed(p checkout.Product) listedProduct {
	return listedProduct{
		ID: p.ID, Name: p.Name, Price: p.Price, Stock: p.Stock, ReservedStock: p.ReservedStock, SoldStock: p.SoldStock, AvailableStock: p.AvailableStock(),
		MaxQtyPerHold: p.MaxQtyPerHold, MaxPerShopper: p.MaxPerShopper, Hidden: p.Hidden, SaleStartsAt: p.SaleStartsAt, SaleEndsAt: p.SaleEndsAt, AsOf: p.AsOf,
	}
}

type productListCmd struct {
	JSON bool `help:"Print the list as JSON."`
}

// Run lists all products.
func (c productListCmd) Run(env environment) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		products := []listedProduct{}
		err := eachProduct(ctx, op, func(p checkout.Product) { products = append(products, listed(p)) })
		if err != nil {
			return err
		}
		switch {
		case c.JSON:
			return printJSON(env.out, products)
		case len(products) == 0:
			return write(env.out, "There is no product yet. flashsale product put makes one.\n")
		}
		return printProducts(env, products)
	})
}

type productGetCmd struct {
	productArg
	JSON bool `help:"Print it as JSON."`
}

// Run shows one product.
func (c productGetCmd) Run(env environment) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		p, err := findProduct(ctx, op, c.ID)
		if err != nil {
			return c.named(err)
		}
		if c.JSON {
			return printJSON(env.out, listed(p))
		}
		return printProducts(env, []listedProduct{listed(p)})
	})
}

func printProducts(env environment, products []listedProduct) error {
	return printTable(env.out, "ID\tNAME\tPRICE\tSTOCK\tAVAILABLE\tRESERVED\tSOLD\tMAX/HOLD\tMAX/SHOPPER\tHIDDEN\tSALE", products, func(p listedProduct) []string {
		sale := strings.TrimPrefix(window(p.SaleStartsAt, p.SaleEndsAt), ", ")
		if sale == "" {
			sale = "always"
		}
		perShopper := "none"
		if p.MaxPerShopper != nil {
			perShopper = strconv.FormatInt(*p.MaxPerShopper, 10)
		}
		number := func(n int64) string { return strconv.FormatInt(n, 10) }
		return []string{
			p.ID, p.Name, money.Format(p.Price), number(p.Stock), number(p.AvailableStock), number(p.ReservedStock), number(p.SoldStock),
			number(p.MaxQtyPerHold), perShopper, yes(p.Hidden), sale,
		}
	})
}

// listPage is the number of products read at a time.
const listPage = 500

// eachProduct reads the products by id.
func eachProduct(ctx context.Context, op admin.Operator, do func(checkout.Product)) error {
	for after := ""; ; {
		page, err := op.Products(ctx, after, listPage)
		if err != nil {
			return err
		}
		for _, p := range page {
			do(p)
			after = p.ID
		}
		if len(page) < listPage {
			return nil
		}
	}
}

// findProduct reads one product, as the first of the list after the id before it. Codes: product_not_found.
func findProduct(ctx context.Context, op admin.Operator, id string) (checkout.Product, error) {
	if !checkout.ValidProductID(id) {
		return checkout.Product{}, checkout.ErrProductNotFound
	}
	found, err := op.Products(ctx, idBefore(id), 1)
	if err == nil && (len(found) == 0 || found[0].ID != id) {
		err = checkout.ErrProductNotFound
	}
	if err != nil {
		return checkout.Product{}, err
	}
	return found[0], nil
}

// idBefore returns the last product id that can come before a valid one; empty if none can.
func idBefore(id string) string {
	const characters, longest = "-0123456789abcdefghijklmnopqrstuvwxyz", 64 // in the order of ids
	head, last := id[:len(id)-1], strings.IndexByte(characters, id[len(id)-1])
	if last == 0 {
		return head
	}
	return head + characters[last-1:last] + strings.Repeat("z", longest-len(id))
}
