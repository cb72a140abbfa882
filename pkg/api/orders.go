package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"flashsale/pkg/checkout"
)

// Order is an order in a response.
type Order struct {
	ID        string `json:"id" doc:"A secret, unless the shop has accounts: with it, any caller can read the order, and cancel it until it is paid. It is the hold's id with another prefix. Where others can see it, show an order number of your own." example:"ord_01jd9m3k7vfq8r2x5t6w0y4zab"`
	HoldID    string `json:"hold_id" example:"hold_01jd9m3k7vfq8r2x5t6w0y4zab"`
	ProductID string `json:"product_id" example:"demo"`
	Qty       int64  `json:"qty" example:"1"`
	Amount    Money  `json:"amount" doc:"Price times quantity, fixed when the hold was placed."`
	Status    string `json:"status" enum:"pending_payment,paid,cancelled,refund_due,refunded"`
	Reason    string `json:"reason,omitempty" enum:"payment_failed,payment_timeout,customer,late_payment,amount_mismatch"`
	Reference string `json:"reference,omitempty" doc:"The reference that came with the order, such as your cart's number." example:"cart-1042"`
	PayBy     Time   `json:"pay_by"`
	CreatedAt Time   `json:"created_at"`
	UpdatedAt Time   `json:"updated_at"`
}

func orderOf(o checkout.Order) Order {
	return Order{
		ID: o.ID.OrderID(), HoldID: o.ID.HoldID(), ProductID: o.ProductID, Qty: o.Qty, Amount: Money(o.Amount),
		Status: string(o.Status), Reason: string(o.Reason), Reference: o.Reference,
		PayBy: Time(o.PayBy), CreatedAt: Time(o.CreatedAt), UpdatedAt: Time(o.UpdatedAt),
	}
}

type orders struct{ service *checkout.Service }

func (o orders) register(api huma.API) {
	huma.Register(api, refuses(huma.Operation{
		OperationID: "create-order", Method: http.MethodPost, Path: "/orders", Tags: []string{string(Orders)}, Security: mayBeShoppers,
		Summary: "Turn a hold into an order", Description: "A hold makes at most one order. A repeated request returns the same order, with 200, and the first `reference` stays. The order belongs to the shopper of the hold." + othersHolds,
		DefaultStatus: http.StatusCreated,
		Responses:     map[string]*huma.Response{"200": {Description: "The order that this hold already has"}},
	}, checkout.CodeMalformedRequest, checkout.CodeUnauthenticated, checkout.CodeHoldNotFound, checkout.CodeHoldReleased, checkout.CodeHoldExpired,
		codeBodyTooLarge, codeUnsupportedMedia, checkout.CodeInvalidRequest), o.create)
	huma.Register(api, refuses(huma.Operation{
		OperationID: "get-order", Method: http.MethodGet, Path: "/orders/{id}", Tags: []string{string(Orders)}, Security: mayBeShoppers,
		Summary: "Read an order", Description: "Returns the current status." + othersOrders,
	}, checkout.CodeUnauthenticated, checkout.CodeOrderNotFound, checkout.CodeInvalidRequest), o.get)
	huma.Register(api, refuses(huma.Operation{
		OperationID: "cancel-order", Method: http.MethodPost, Path: "/orders/{id}/cancel", Tags: []string{string(Orders)}, Security: mayBeShoppers,
		Summary: "Cancel an unpaid order", Description: "Its units are available again at once. Cancelling a cancelled order changes nothing." + othersOrders,
	}, checkout.CodeUnauthenticated, checkout.CodeOrderNotFound, checkout.CodeOrderNotCancellable, checkout.CodeInvalidRequest), o.cancel)
	huma.Register(api, refuses(huma.Operation{
		OperationID: "list-orders", Method: http.MethodGet, Path: "/orders", Tags: []string{string(Orders)}, Security: areShoppers,
		Summary: "List your orders", Description: "Returns the orders of the signed-in shopper, by the time of their holds, the latest first, one page at a time. A page may have fewer orders than `limit`, or none, while `has_more` is true.",
	}, checkout.CodeUnauthenticated, checkout.CodeInvalidRequest), o.list)
}

// OrderRequest is the body of create-order.
type OrderRequest struct {
	HoldID    string `json:"hold_id" pattern:"^hold_[0-7][0-9a-hjkmnp-tv-z]{25}$" patternDescription:"hold_ and 26 characters" example:"hold_01jd9m3k7vfq8r2x5t6w0y4zab"`
	Reference string `json:"reference,omitempty" minLength:"1" maxLength:"128" doc:"Your own number for this order, such as the cart's or the customer's: printable characters. It comes with the order in responses, and operators can search for it. It is no secret, and shoppers can choose it: check it against your own records." example:"cart-1042"`
}

type orderResponse struct {
	Status   int
	Location string `header:"Location" doc:"The path of the order." example:"/v1/orders/ord_01jd9m3k7vfq8r2x5t6w0y4zab"`
	Body     Order
}

func (o orders) create(ctx context.Context, in *struct{ Body OrderRequest }) (*orderResponse, error) {
	id, ok := checkout.ParseHoldID(in.Body.HoldID)
	if !ok {
		return nil, checkout.ErrHoldNotFound
	}
	order, existed, err := o.service.CreateOrder(ctx, callerOf(ctx), id, in.Body.Reference)
	if err != nil {
		return nil, err
	}
	out := &orderResponse{Status: http.StatusCreated, Location: prefix + "/orders/" + order.ID.OrderID(), Body: orderOf(order)}
	if existed {
		out.Status = http.StatusOK
	}
	return out, nil
}

// OrderPage is one page of a shopper's orders.
type OrderPage struct {
	Data       []Order `json:"data" nullable:"false"`
	HasMore    bool    `json:"has_more"`
	NextCursor *string `json:"next_cursor" nullable:"true" doc:"The cursor of the next page; null on the last page."`
}

func (o orders) list(ctx context.Context, in *page) (*struct{ Body OrderPage }, error) {
	before, err := in.id()
	if err != nil {
		return nil, err
	}
	found, next, err := o.service.Orders(ctx, shopperOf(ctx), before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &struct{ Body OrderPage }{OrderPage{Data: make([]Order, len(found)), HasMore: next != nil, NextCursor: nextID(next)}}
	for i := range found {
		out.Body.Data[i] = orderOf(found[i])
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

func (o orders) respond(ctx context.Context, in *orderPath, do func(context.Context, checkout.Caller, checkout.ID) (checkout.Order, error)) (*struct{ Body Order }, error) {
	id, ok := checkout.ParseOrderID(in.ID)
	if !ok {
		return nil, checkout.ErrOrderNotFound
	}
	order, err := do(ctx, callerOf(ctx), id)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Order }{orderOf(order)}, nil
}
