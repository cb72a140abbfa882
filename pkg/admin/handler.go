package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/cfn"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

const (
	// reserve is the time between the end of an operation and the function's deadline. It is needed to report a failure:
	// without a report, CloudFormation waits for the whole ServiceTimeout.
	reserve = 20 * time.Second
	// reportTimeout limits the report to CloudFormation.
	reportTimeout = 10 * time.Second
)

// Handler is the admin function. Its Operator is Logged. It runs the operations that a Client requests, and migrates the database when
// CloudFormation creates or changes the stack's schema resource.
type Handler struct {
	Operator Operator
	Logger   *slog.Logger
	Flush    func() // writes the metrics of an invocation
}

// Start serves until Lambda ends the process.
func (h Handler) Start() {
	http.DefaultClient.Timeout = reportTimeout // aws-lambda-go reports to CloudFormation with this client
	lambda.Start(h.Invoke)
}

// Invoke runs one operation. A refusal is a response. Any other failure is an error that only says where the log has the
// cause.
func (h Handler) Invoke(ctx context.Context, payload json.RawMessage) (_ any, err error) {
	defer h.Flush()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-min(reserve, time.Until(deadline)/4)))
		defer cancel()
	}
	var event cfn.Event
	if json.Unmarshal(payload, &event) == nil && event.ResponseURL != "" {
		reason, err := cfn.LambdaWrap(h.deploy)(ctx, event)
		var address *url.Error
		if errors.As(err, &address) {
			err = address.Err // drops the address, whose signature would let anyone respond for this function
		}
		if err != nil {
			return nil, h.failure(ctx, fmt.Errorf("reporting to CloudFormation: %w", err))
		}
		return reason, nil
	}
	r, err := h.respond(ctx, payload)
	var refused *checkout.Error
	if errors.As(err, &refused) && refused.Code != checkout.CodeBusy {
		return response{Error: refusalOf(refused)}, nil
	}
	if err != nil {
		return nil, h.failure(ctx, err)
	}
	return r, nil
}

// deploy implements CloudFormation's custom resource. Deleting the resource keeps the data: the database takes a snapshot
// when it is deleted itself.
func (h Handler) deploy(ctx context.Context, event cfn.Event) (physicalID string, _ map[string]any, err error) {
	const id = "schema" // one per stack, and never replaced
	h.Logger.InfoContext(ctx, "schema resource", "request_type", event.RequestType)
	if event.RequestType == cfn.RequestDelete {
		return id, nil, nil
	}
	err = h.guard(func() error { return h.Operator.Migrate(asDeployment(ctx, event)) })
	if errors.Is(err, ledger.ErrNewerSchema) {
		h.Logger.WarnContext(ctx, "the database keeps the newer release's schema", "cause", err) // CloudFormation rolls back
		return id, nil, nil
	}
	if err != nil {
		return id, nil, h.failure(ctx, err)
	}
	return id, nil, nil
}

func (h Handler) respond(ctx context.Context, payload []byte) (r response, err error) {
	var q request
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&q); err != nil {
		return r, checkout.Malformed("The request is not valid: " + err.Error())
	}
	if q.Limit == 0 {
		q.Limit = MaxListed
	}
	if q.Limit < 1 || q.Limit > MaxListed {
		return r, checkout.Invalid("limit", fmt.Sprintf("expected 1 to %d", MaxListed))
	}
	return r, h.guard(func() (err error) {
		r, err = h.do(ctx, q)
		return err
	})
}

func (h Handler) do(ctx context.Context, q request) (r response, err error) {
	switch q.Operation {
	case opMigrate:
		err = h.Operator.Migrate(ctx)
	case opPutProduct:
		if q.Product == nil {
			return r, checkout.Invalid("product", "expected a product")
		}
		if err := q.Product.Check(); err != nil {
			return r, err
		}
		p, created, putErr := h.Operator.PutProduct(ctx, *q.Product)
		r.Product, r.Created, err = (*product)(&p), created, putErr
	case opProducts:
		if q.After != "" && !checkout.ValidProductID(q.After) {
			return r, checkout.Invalid("after", "expected the id of a product")
		}
		products, listErr := h.Operator.Products(ctx, q.After, q.Limit)
		r.Products, err = toWire(products), listErr
	case opOverview:
		o, readErr := h.Operator.Overview(ctx)
		r.Overview, err = overviewToWire(o), readErr
	case opAudit:
		audit, auditErr := h.Operator.Audit(ctx)
		r.Audit, err = &audit, auditErr
	case opRecordRefund:
		err = h.recordRefund(ctx, q, &r)
	default:
		err = h.brake(ctx, q, &r)
	}
	return r, err
}

// brake runs the operations for a sale whose stock someone hoards.
func (h Handler) brake(ctx context.Context, q request, r *response) (err error) {
	switch q.Operation {
	case opEndSale:
		p, changed, endErr := h.Operator.EndSale(ctx, q.ProductID)
		r.Product, r.Changed, err = (*product)(&p), changed, endErr
	case opHideProduct, opShowProduct:
		p, changed, hideErr := h.Operator.HideProduct(ctx, q.ProductID, q.Operation == opHideProduct)
		r.Product, r.Changed, err = (*product)(&p), changed, hideErr
	case opDeleteProduct:
		err = h.Operator.DeleteProduct(ctx, q.ProductID)
	case opReleaseHolds, opCancelOrders:
		if q.Selection == nil {
			return checkout.Invalid("selection", "expected ids or a filter")
		}
		end := h.Operator.ReleaseHolds
		if q.Operation == opCancelOrders {
			end = h.Operator.CancelOrders
		}
		ended, endErr := end(ctx, *q.Selection)
		r.Ended, err = &ended, endErr
	case opBlock, opUnblock:
		shopper, ok := checkout.ParseShopper(q.Shopper)
		if !ok {
			return checkout.Invalid("shopper", "expected shopper_ and 26 characters")
		}
		if q.Operation == opUnblock {
			r.Changed, err = h.Operator.UnblockShopper(ctx, shopper)
			return err
		}
		block, blockErr := h.Operator.BlockShopper(ctx, shopper)
		r.Block, err = &block, blockErr
	default:
		err = h.list(ctx, q, r)
	}
	return err
}

// list runs the operations that only read the ledger's orders, payments and shoppers.
func (h Handler) list(ctx context.Context, q request, r *response) (err error) {
	switch q.Operation {
	case opOwed:
		owed, listErr := h.Operator.Owed(ctx, q.Limit)
		r.Owed, err = &owed, listErr
	case opPayments:
		r.Payments, err = h.Operator.Payments(ctx, q.PaymentID)
	case opOrders:
		if q.Orders == nil {
			q.Orders = &ledger.OrderFilter{}
		}
		if err := checkFilter(*q.Orders); err != nil {
			return err
		}
		orders, listErr := h.Operator.Orders(ctx, *q.Orders, q.Limit)
		r.Orders, err = &orders, listErr
	case opOrder:
		id, ok := checkout.ParseOrderID(q.OrderID)
		if !ok {
			return checkout.Invalid("order_id", "expected ord_ and 26 characters")
		}
		history, readErr := h.Operator.OrderHistory(ctx, id)
		r.Order, err = &history, readErr
	case opEvents:
		events, listErr := h.Operator.Events(ctx, q.State, q.Limit)
		r.Events, err = &events, listErr
	case opReservations:
		if q.Reservations == nil {
			q.Reservations = &ledger.ReservationFilter{}
		}
		found, listErr := h.Operator.Reservations(ctx, *q.Reservations, q.Limit)
		r.Reservations, err = &found, listErr
	case opBlocked:
		blocked, listErr := h.Operator.BlockedShoppers(ctx, q.Limit)
		r.Blocked, err = &blocked, listErr
	case opReceived:
		received, listErr := h.Operator.ReceivedEvents(ctx, q.Mark, q.Limit)
		r.Received, err = &received, listErr
	default:
		err = checkout.Invalid("operation", "expected one of "+strings.Join(operations, ", "))
	}
	return err
}

// recordRefund records a refund.
func (h Handler) recordRefund(ctx context.Context, q request, r *response) error {
	if q.Refund == nil {
		return checkout.Invalid("refund", "expected a refund")
	}
	p, err := h.Operator.RecordReturn(ctx, checkout.RefundRecord(*q.Refund))
	r.Payment = &p
	return err
}

// guard turns a panic into an error.
func (Handler) guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do()
}

// failure logs the cause, and returns an error without it for the caller.
func (h Handler) failure(ctx context.Context, cause error) error {
	h.Logger.ErrorContext(ctx, "operation failed", "error", cause.Error())
	id := "unknown"
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		id = invocation.AwsRequestID
	}
	reason := "the operation failed"
	if checkout.CodeOf(cause) == checkout.CodeBusy {
		reason = "the database is busy or cannot be reached"
	}
	return fmt.Errorf("%s; the function's log has the cause under request id %s", reason, id)
}
