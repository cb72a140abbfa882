package stockview

import (
	"context"
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valkey-io/valkey-go"

	"flashsale/pkg/checkout"
)

const (
	// The catalogue says what exists for this long after the ledger was asked. So a new product appears within two seconds.
	catalogueLife = 1500 * time.Millisecond
	// catalogueTTL keeps an old catalogue. It still tells which products exist, as few are ever deleted.
	catalogueTTL = time.Minute
	// maxCatalogue limits it. A larger one is not kept: every page and every unknown product then costs a query.
	maxCatalogue = 5000
	// Once in this time, one product that the catalogue does not have is looked up all the same. It may be new.
	probePause = time.Second
)

var (
	//go:embed catalogue_read.lua
	catalogueReadText string
	//go:embed catalogue_write.lua
	catalogueWriteText   string
	catalogueReadScript  = valkey.NewLuaScript(catalogueReadText)
	catalogueWriteScript = valkey.NewLuaScript(catalogueWriteText)
)

// The catalogue is one sorted set. Its members are "id entry" for each product, in the order of the ids, and before them
// "!time large", which says how long it is valid. A blank and "!" sort before every character of an id.
const (
	catalogueKey   = "catalogue"
	catalogueStart = "(!~"   // the position of the first product
	catalogueLarge = "large" // there are more than maxCatalogue products
)

// position returns the place in the catalogue of a product, or after it.
func position(id string, after bool) string {
	switch {
	case id == "":
		return catalogueStart
	case after:
		return "(" + id + "!"
	}
	return "[" + id + " "
}

// cataloguePart is what one read of the catalogue returns.
type cataloguePart struct {
	valid    bool // the catalogue's life is not over
	large    bool
	products []checkout.Product
}

// Products implements checkout.StockView.
func (v *View) Products(ctx context.Context, after string, limit int) ([]checkout.Product, error) {
	part, err := v.readCatalogue(ctx, position(after, true), limit)
	if err == nil && !part.valid {
		part, err = v.refreshCatalogue(ctx, after, true, limit)
	}
	if err != nil || part.large {
		return v.source.Products(ctx, after, limit)
	}
	return part.products, nil
}

// existence is what the catalogue says about a product.
type existence int

const (
	mayExist existence = iota
	listed             // it existed when the catalogue was made
	unknown            // it did not exist up to catalogueLife ago
	probed             // the same, but this caller shall ask the ledger
)

// exists asks the catalogue for a product. However many unknown products are asked for, it costs a list per catalogueLife,
// and the probe of one product per probePause.
func (v *View) exists(ctx context.Context, id string) existence {
	part, err := v.readCatalogue(ctx, position(id, false), 1)
	probing := err == nil && part.valid
	if err == nil && !part.valid && !part.has(id) {
		part, err = v.refreshCatalogue(ctx, id, false, 1)
	}
	if err != nil || part.large {
		return mayExist
	}
	if part.has(id) {
		return listed
	}
	if probing {
		if locked, _ := v.lock(ctx, v.prefix+catalogueKey+":probe", probePause); locked {
			return probed
		}
	}
	return unknown
}

// forgetCatalogue deletes the catalogue, since a probe has found a new product or a listed one is gone, and allows the next probe.
func (v *View) forgetCatalogue(ctx context.Context) {
	for _, name := range []string{catalogueKey, catalogueKey + ":probe"} { // each in a slot of its own
		if err := v.send(ctx, func(c valkey.Client) []valkey.Completed {
			return []valkey.Completed{c.B().Del().Key(v.prefix + name).Build()}
		}); err != nil { // it ends by itself
			v.lost(err)
		}
	}
}

// has reports whether a part that begins at the position of a product has it.
func (p cataloguePart) has(id string) bool { return len(p.products) > 0 && p.products[0].ID == id }

// readCatalogue reads at most limit products of the catalogue from a position on.
func (v *View) readCatalogue(ctx context.Context, from string, limit int) (part cataloguePart, err error) {
	err = v.client.do(ctx, func(ctx context.Context, c valkey.Client) error {
		values, err := catalogueReadScript.Exec(ctx, c, []string{v.prefix + catalogueKey}, []string{from, strconv.Itoa(limit), millis(catalogueLife)}).ToArray()
		if err != nil {
			return err
		}
		received := time.Now()
		ends, _ := values[0].ToInt64()
		large, _ := values[1].ToString()
		now, _ := values[2].ToInt64()
		v.clock.set(now, received)
		part.valid, part.large = ends > 0, large == catalogueLarge
		for _, value := range values[3:] {
			text, _ := value.ToString()
			id, entry, _ := strings.Cut(text, " ")
			p := parseEntry(id, entry)
			if p == nil { // not written by this program
				part = cataloguePart{}
				return nil
			}
			part.products = append(part.products, *p)
		}
		return nil
	})
	return part, err
}

// refreshCatalogue reads all products from the ledger, stores them, and returns the part from a product on. All callers in
// this process share one ledger call, and so do all processes if the cache can hold a lock.
func (v *View) refreshCatalogue(ctx context.Context, id string, after bool, limit int) (cataloguePart, error) {
	filled := v.filling.DoChan(catalogueKey+"!", func() (any, error) { // no product has this id
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fillTimeout)
		defer cancel()
		if v.isFilling(ctx, v.prefix+catalogueKey+":fill") {
			for range fillPolls {
				time.Sleep(fillPause)
				if part, err := v.readCatalogue(ctx, catalogueStart, maxCatalogue); err != nil || part.valid {
					return part, err
				}
			}
		}
		asked := time.Now()
		all, err := v.source.Products(ctx, "", maxCatalogue+1)
		if err != nil {
			return nil, err
		}
		part := cataloguePart{valid: true, large: len(all) > maxCatalogue, products: all}
		v.writeCatalogue(ctx, part, asked)
		return part, nil
	})
	select {
	case r := <-filled:
		if r.Err != nil {
			return cataloguePart{}, r.Err
		}
		part := r.Val.(cataloguePart)
		n, found := slices.BinarySearchFunc(part.products, id, func(p checkout.Product, id string) int { return strings.Compare(p.ID, id) })
		if found && after {
			n++
		}
		part.products = part.products[n:min(n+limit, len(part.products))]
		return part, nil
	case <-ctx.Done():
		return cataloguePart{}, checkout.Busy(ctx.Err())
	}
}

// writeCatalogue stores the catalogue that the ledger returned after it was asked at that time.
func (v *View) writeCatalogue(ctx context.Context, part cataloguePart, asked time.Time) {
	ends := v.clock.at(asked) + catalogueLife.Milliseconds()
	args := []string{strconv.FormatInt(ends, 10), "", millis(catalogueLife), millis(catalogueTTL)}
	if part.large {
		args[1] = catalogueLarge
		part.products = nil
	}
	for _, p := range part.products {
		text, err := formatEntry(p)
		if err != nil {
			return // cannot happen: plain fields
		}
		args = append(args, p.ID+" "+text)
	}
	err := v.client.do(ctx, func(ctx context.Context, c valkey.Client) error {
		return catalogueWriteScript.Exec(ctx, c, []string{v.prefix + catalogueKey}, args).Error()
	})
	if err != nil { // the next reader asks the ledger again
		v.lost(err)
	}
}
