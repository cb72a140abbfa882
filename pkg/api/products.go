package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"flashsale/pkg/checkout"
)

// Product is a product in a response. stock = available_stock + reserved_stock + sold_stock.
type Product struct {
	ID             string `json:"id" example:"demo"`
	Name           string `json:"name" example:"Demo sneaker"`
	Price          Money  `json:"price"`
	Stock          int64  `json:"stock" doc:"Units put on sale in total."`
	ReservedStock  int64  `json:"reserved_stock" doc:"Units held, or ordered and not yet paid."`
	SoldStock      int64  `json:"sold_stock" doc:"Units paid for."`
	AvailableStock int64  `json:"available_stock" doc:"Units that can be held now."`
	MaxQtyPerHold  int64  `json:"max_qty_per_hold"`
	MaxPerShopper  *int64 `json:"max_per_shopper,omitempty" doc:"Units that one shopper may have: held, ordered and bought. A hold then needs a signed-in shopper."`
	SaleStartsAt   *Time  `json:"sale_starts_at,omitempty"`
	SaleEndsAt     *Time  `json:"sale_ends_at,omitempty"`
	AsOf           Time   `json:"as_of" doc:"When the database had this state: at most two seconds ago, by its clock."`
}

func productOf(p checkout.Product) Product {
	return Product{
		ID: p.ID, Name: p.Name, Price: Money(p.Price), Stock: p.Stock, ReservedStock: p.ReservedStock, SoldStock: p.SoldStock,
		AvailableStock: p.AvailableStock(), MaxQtyPerHold: p.MaxQtyPerHold, MaxPerShopper: p.MaxPerShopper,
		SaleStartsAt: optionalTime(p.SaleStartsAt), SaleEndsAt: optionalTime(p.SaleEndsAt), AsOf: Time(p.AsOf),
	}
}

type products struct{ service *checkout.Service }

func (p products) register(api huma.API) {
	huma.Register(api, refuses(huma.Operation{
		OperationID: "list-products", Method: http.MethodGet, Path: "/products", Tags: []string{string(Products)},
		Summary: "List products", Description: "Returns products by id, one page at a time. A new product appears within two seconds.",
	}, checkout.CodeInvalidRequest), p.list)
	huma.Register(api, refuses(huma.Operation{
		OperationID: "get-product", Method: http.MethodGet, Path: "/products/{id}", Tags: []string{string(Products)},
		Summary: "Read a product and its stock", Description: "The response may be cached for one second. With `If-None-Match` and the `ETag` of an earlier response, you get 304 while nothing has changed.",
		Responses: map[string]*huma.Response{"304": {Description: "Not Modified"}},
	}, checkout.CodeProductNotFound, checkout.CodeInvalidRequest), p.get)
}

// ProductPage is one page of the catalogue.
type ProductPage struct {
	Data       []Product `json:"data" nullable:"false"`
	HasMore    bool      `json:"has_more"`
	NextCursor *string   `json:"next_cursor" nullable:"true" doc:"The cursor of the next page; null on the last page."`
}

func (p products) list(ctx context.Context, in *page) (*struct{ Body ProductPage }, error) {
	after, err := in.text()
	if err == nil && in.Cursor != "" && !checkout.ValidProductID(after) {
		err = errCursor
	}
	if err != nil {
		return nil, err
	}
	page, more, err := p.service.Products(ctx, after, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &struct{ Body ProductPage }{}
	out.Body.Data = make([]Product, len(page))
	for i := range page {
		out.Body.Data[i] = productOf(page[i])
	}
	if out.Body.HasMore = more; more {
		out.Body.NextCursor = nextCursor(page[len(page)-1].ID)
	}
	return out, nil
}

type productResponse struct {
	Status       int
	ETag         string `header:"ETag"`
	CacheControl string `header:"Cache-Control"`
	Body         Product
}

func (p products) get(ctx context.Context, in *struct {
	ID          string `path:"id" example:"demo"`
	IfNoneMatch string `header:"If-None-Match" doc:"The ETags of earlier responses."`
},
) (*productResponse, error) {
	product, err := p.service.Product(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	// The ETag is weak because as_of changes while nothing else does. Units that are due leave reserved_stock before a call
	// reclaims them and raises the version.
	out := &productResponse{
		Status: http.StatusOK, ETag: fmt.Sprintf(`W/"%d-%d"`, product.Version, product.ReservedStock),
		CacheControl: "public, max-age=1", Body: productOf(product),
	}
	if matches(in.IfNoneMatch, out.ETag) {
		out.Status = http.StatusNotModified
	}
	return out, nil
}

// matches compares weakly, as RFC 9110 section 13.1.2 requires for If-None-Match.
func matches(ifNoneMatch, etag string) bool {
	for candidate := range strings.SplitSeq(ifNoneMatch, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}
