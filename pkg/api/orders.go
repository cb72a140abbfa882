package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"flashsale/pkg/checkout"
)

// Order is an order in a response.
type Order struct {
	ID        string `json:"id" doc:"A secret: with it, any caller can read the order, and cancel it until it is paid. It is the hold's id with another prefix. Show a number of your own where others can see it." example:"ord_01jd9m3k7vfq8r2x5t6w0y4zab"`
	HoldID    string `json:"hold_id" example:"hold_01jd9m3k7vfq8r2x5t6w0y4zab"`
	ProductID string `json:"product_id" example:"demo"`
	Qty       int64  `json:"qty" example:"1"`
	Amount    Money  `json:"amount" doc:"Price times quantity, fixed when the hold was placed."`
	Status    string `json:"status" enum:"pending_payment,paid,cancelled,refund_due,refunded"`
	Reason    string `json:"reason,omitempty" enum:"payment_failed,payment_timeout,customer,late_payment,amount_mismatch"`
	PayBy     Time   `json:"pay_by"`
	CreatedAt Time   `json:"created_at"`
	UpdatedAt Time   `json:"updated_at"`
}

func orderOf(o checkout.Order) Order {
	return Order{
		ID: o.ID.OrderID(), HoldID: o.ID.HoldID(), ProductID: o.ProductID, Qty: o.Qty, Amount: Money(o.Amount),
		Status: string(o.Status), Reason: string(o.Reason),
		PayBy: Time(o.PayBy), CreatedAt: Time(o.CreatedAt), UpdatedAt: Time(o.UpdatedAt),
	}
}

type orders struct{ service *checkout.Service }

func (o orders) register(api huma.API) {
	huma.Register(api, refuses(huma.Operation{
		OperationID: "create-order", Method: http.MethodPost, Path: "/orders", Tags: []string{string(Orders)},
		Summary: "Turn a hold into an order", Description: "A hold makes at most one order. A repeated request returns the same order, with 200.",
		DefaultStatus: http.StatusCreated,
		Responses:     map[string]*huma.Response{"200": {Description: "The order that this hold already has"}},
	}, checkout.CodeMalformedRequest, checkout.CodeHoldNotFound, checkout.CodeHoldReleased, checkout.CodeHoldExpired,
		codeBodyTooLarge, codeUnsupportedMedia, checkout.CodeInvalidRequest), o.create)
	sameBody(api, "/orders", http.StatusCreated, http.StatusOK)
	huma.Register(api, refuses(huma.Operation{
		OperationID: "get-order", Method: http.MethodGet, Path: "/orders/{id}", Tags: []string{string(Orders)},
		Summary: "Read an order", Description: "Returns the current status.",
	}, checkout.CodeOrderNotFound, checkout.CodeInvalidRequest), o.get)
	huma.Register(api, refuses(huma.Operation{
		OperationID: "cancel-order", Method: http.MethodPost, Path: "/orders/{id}/cancel", Tags: []string{string(Orders)},
		Summary: "Cancel an unpaid order", Description: "Its units are available again at once. Cancelling a cancelled order changes nothing.",
	}, checkout.CodeOrderNotFound, checkout.CodeOrderNotCancellable, checkout.CodeInvalidRequest), o.cancel)
}

// OrderRequest is the body of create-order.
type OrderRequest struct {
	HoldID string `json:"hold_id" pattern:"^hold_[0-7][0-9a-hjkmnp-tv-z]{25}$" patternDescription:"hold_ and 26 characters" example:"hold_01jd9m3k7vfq8r2x5t6w0y4zab"`
}

type orderResponse struct {
	Status   int
	Location string `header:"Location"`
	Body     Order
}

func (o orders) create(ctx context.Context, in *struct{ Body OrderRequest }) (*orderResponse, error) {
	id, ok := checkout.ParseHoldID(in.Body.HoldID)
	if !ok {
		return nil, checkout.ErrHoldNotFound
	}
	order, existed, err := o.service.CreateOrder(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &orderResponse{Status: http.StatusCreated, Location: prefix + "/orders/" + order.ID.OrderID(), Body: orderOf(order)}
	if existed {
		out.Status = http.StatusOK
	}
	return out, nil
}

// orderPath is the path of an order. A malformed id is order_not_found.
type orderPath struct {
	ID string `path:"id" example:"ord_01jd9m3k7vfq8r2x5t6w0y4zab"`
}

func (o orders) get(ctx context.Context, in *orderPath) (*struct{ Body Order }, error) {
	return o.respond(ctx, in, o.service.Order)
}

func (o orders) cancel(ctx context.Context, in *orderPath) (*struct{ Body Order }, error) {
	return o.respond(ctx, in, o.service.CancelOrder)
}

func (o orders) respond(ctx context.Context, in *orderPath, do func(context.Context, checkout.ID) (checkout.Order, error)) (*struct{ Body Order }, error) {
	id, ok := checkout.ParseOrderID(in.ID)
	if !ok {
		return nil, checkout.ErrOrderNotFound
	}
	order, err := do(ctx, id)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Order }{orderOf(order)}, nil
}
