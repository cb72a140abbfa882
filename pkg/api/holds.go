package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"flashsale/pkg/checkout"
)

// Hold is a hold in a response.
type Hold struct {
	ID        string `json:"id" doc:"A secret, unless the shop has accounts: with it, any caller can read, release and order the hold." example:"hold_01jd9m3k7vfq8r2x5t6w0y4zab"`
	ProductID string `json:"product_id" example:"demo"`
	Qty       int64  `json:"qty" example:"1"`
	Status    string `json:"status" enum:"active,ordered,released,expired"`
	ExpiresAt Time   `json:"expires_at"`
	CreatedAt Time   `json:"created_at"`
	OrderID   string `json:"order_id,omitempty" doc:"The order made from this hold."`
}

func holdOf(h checkout.Hold) Hold {
	out := Hold{
		ID: h.ID.HoldID(), ProductID: h.ProductID, Qty: h.Qty, Status: string(h.Status),
		ExpiresAt: Time(h.ExpiresAt), CreatedAt: Time(h.CreatedAt),
	}
	if h.HasOrder {
		out.OrderID = h.ID.OrderID()
	}
	return out
}

// How sign-in changes an operation on one hold or order.
const (
	othersHolds  = " Another shopper's hold is `hold_not_found`. Without a token, so is every signed-in shopper's hold."
	othersOrders = " Another shopper's order is `order_not_found`. Without a token, so is every signed-in shopper's order."
)

type holds struct{ service *checkout.Service }

func (h holds) register(api huma.API) {
	huma.Register(api, refuses(huma.Operation{
		OperationID: "place-hold", Method: http.MethodPost, Path: "/holds", Tags: []string{string(Holds)}, Security: mayBeShoppers,
		Summary:       "Reserve units for two minutes",
		Description:   "Send an `Idempotency-Key` to be able to retry: the same key and body return the same hold, with 200 and `Idempotent-Replayed: true`. A hold that ended without an order is deleted after a time that the shop sets, 30 days by default. Its key then places a new hold. A signed-in shopper owns the hold and the key: the same key from another shopper is a different key.",
		DefaultStatus: http.StatusCreated,
		Responses:     map[string]*huma.Response{"200": {Description: "The hold that an earlier request with this Idempotency-Key placed"}},
	}, checkout.CodeMalformedRequest, checkout.CodeUnauthenticated, checkout.CodeProductNotFound, checkout.CodeSoldOut, checkout.CodeSaleNotStarted,
		checkout.CodeSaleEnded, checkout.CodeShopperLimit, codeBodyTooLarge, codeUnsupportedMedia, checkout.CodeInvalidRequest, checkout.CodeQtyOverLimit, checkout.CodeIdempotencyReused), h.place)
	huma.Register(api, refuses(huma.Operation{
		OperationID: "get-hold", Method: http.MethodGet, Path: "/holds/{id}", Tags: []string{string(Holds)}, Security: mayBeShoppers,
		Summary: "Read a hold", Description: "Returns the current status, by the database's clock." + othersHolds,
	}, checkout.CodeUnauthenticated, checkout.CodeHoldNotFound, checkout.CodeInvalidRequest), h.get)
	huma.Register(api, refuses(huma.Operation{
		OperationID: "release-hold", Method: http.MethodDelete, Path: "/holds/{id}", Tags: []string{string(Holds)}, Security: mayBeShoppers,
		Summary: "Release a hold", Description: "Its units are available again at once. Releasing a hold that was released or has expired changes nothing." + othersHolds,
		DefaultStatus: http.StatusNoContent,
	}, checkout.CodeUnauthenticated, checkout.CodeHoldNotFound, checkout.CodeHoldOrdered, checkout.CodeInvalidRequest), h.release)
	huma.Register(api, refuses(huma.Operation{
		OperationID: "list-holds", Method: http.MethodGet, Path: "/holds", Tags: []string{string(Holds)}, Security: areShoppers,
		Summary: "List your holds", Description: "Returns the holds of the signed-in shopper, the latest first, one page at a time. A hold that ended without an order is deleted after a time that the shop sets.",
	}, checkout.CodeUnauthenticated, checkout.CodeInvalidRequest), h.list)
}

// HoldRequest is the body of place-hold.
type HoldRequest struct {
	ProductID string `json:"product_id" pattern:"^[a-z0-9-]{1,64}$" patternDescription:"1 to 64 of a-z 0-9 -" example:"demo"`
	Qty       int64  `json:"qty" minimum:"1" maximum:"999999" example:"1"`
}

type placeHoldInput struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"16 to 255 of A-Z a-z 0-9 . _ : -, optionally in quotes. Use a new random UUID for each hold, and the same key for each retry. The key is a secret: a caller who has or guesses it gets the hold, or can place it first. Only a signed-in shopper's key is safe from others. Never build it from a time, a name or a number."`
	Body           HoldRequest

	key *checkout.IdempotencyKey
}

// Resolve reads the key. An empty header is an error, not a request without a key.
func (in *placeHoldInput) Resolve(ctx huma.Context) (errs []error) {
	ctx.EachHeader(func(name, value string) {
		if name != "Idempotency-Key" {
			return
		}
		key, ok := checkout.ParseIdempotencyKey(value)
		if !ok || in.key != nil {
			errs = append(errs, &huma.ErrorDetail{Location: "header.Idempotency-Key", Message: "expected one key of 16 to 255 of A-Z a-z 0-9 . _ : -"})
			return
		}
		in.key = &key
	})
	return errs
}

type holdResponse struct {
	Status   int
	Location string `header:"Location" doc:"The path of the hold." example:"/v1/holds/hold_01jd9m3k7vfq8r2x5t6w0y4zab"`
	Replayed string `header:"Idempotent-Replayed" doc:"true: an earlier request placed this hold." example:"true"`
	Body     Hold
}

func (h holds) place(ctx context.Context, in *placeHoldInput) (*holdResponse, error) {
	hold, replayed, err := h.service.PlaceHold(ctx, shopperOf(ctx), in.Body.ProductID, in.Body.Qty, in.key)
	if err != nil {
		return nil, err
	}
	out := &holdResponse{Status: http.StatusCreated, Location: prefix + "/holds/" + hold.ID.HoldID(), Body: holdOf(hold)}
	if replayed {
		out.Status, out.Replayed = http.StatusOK, "true"
	}
	return out, nil
}

// holdPath is the path of a hold. A malformed id is hold_not_found.
type holdPath struct {
	ID string `path:"id" example:"hold_01jd9m3k7vfq8r2x5t6w0y4zab"`
}

// HoldPage is one page of a shopper's holds.
type HoldPage struct {
	Data       []Hold  `json:"data" nullable:"false"`
	HasMore    bool    `json:"has_more"`
	NextCursor *string `json:"next_cursor" nullable:"true" doc:"The cursor of the next page; null on the last page."`
}

func (h holds) list(ctx context.Context, in *page) (*struct{ Body HoldPage }, error) {
	before, err := in.id()
	if err != nil {
		return nil, err
	}
	found, next, err := h.service.Holds(ctx, shopperOf(ctx), before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &struct{ Body HoldPage }{HoldPage{Data: make([]Hold, len(found)), HasMore: next != nil, NextCursor: nextID(next)}}
	for i := range found {
		out.Body.Data[i] = holdOf(found[i])
	}
	return out, nil
}

func (h holds) get(ctx context.Context, in *holdPath) (*struct{ Body Hold }, error) {
	id, ok := checkout.ParseHoldID(in.ID)
	if !ok {
		return nil, checkout.ErrHoldNotFound
	}
	hold, err := h.service.Hold(ctx, callerOf(ctx), id)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Hold }{holdOf(hold)}, nil
}

func (h holds) release(ctx context.Context, in *holdPath) (*struct{}, error) {
	id, ok := checkout.ParseHoldID(in.ID)
	if !ok {
		return nil, checkout.ErrHoldNotFound
	}
	return nil, h.service.ReleaseHold(ctx, callerOf(ctx), id)
}
