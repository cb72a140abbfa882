package shop

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"flashsale/pkg/api"
	"flashsale/pkg/payments"
	"flashsale/pkg/web"
)

// The kinds of events that the sandbox sends. A payment of an order that has ended is a late one.
const (
	kindPay         = "pay"
	kindPayTwice    = "pay_twice" // one event, delivered twice
	kindWrongAmount = "wrong_amount"
	kindFail        = "fail"
	kindRefund      = "refund"
)

// sandbox plays a payment provider: it signs an event about an order and delivers it to the webhook.
type sandbox struct {
	api    http.Handler
	signer *payments.Standard
}

type sandboxRequest struct {
	OrderID   string `json:"order_id"`
	Kind      string `json:"kind"`
	PaymentID string `json:"payment_id"` // of a refund
}

type sandboxResponse struct {
	PaymentID string            `json:"payment_id"`
	Delivered []json.RawMessage `json:"delivered"` // the webhook's responses
}

// ServeHTTP pays only orders that the shopper can read: it asks the API for the order with the shopper's own token.
func (s sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request sandboxRequest
	if err := web.ReadJSON(w, r, &request); err != nil {
		refuse(w, http.StatusBadRequest, "The request cannot be read: "+err.Error())
		return
	}
	found := s.call(r, http.MethodGet, "/v1/orders/"+url.PathEscape(request.OrderID), nil, nil)
	var order struct {
		Amount api.Money `json:"amount"`
	}
	if found.status != http.StatusOK || json.Unmarshal(found.body.Bytes(), &order) != nil {
		w.Header().Set("Content-Type", found.header.Get("Content-Type"))
		w.WriteHeader(found.status)
		_, _ = w.Write(found.body.Bytes()) // fails only if the client is gone
		return
	}
	eventType, data, ok := event(request, order.Amount)
	if !ok {
		refuse(w, http.StatusUnprocessableEntity, "The kind is pay, pay_twice, wrong_amount, fail or refund. A refund needs a payment_id.")
		return
	}
	now := time.Now()
	body := payments.StandardBody(eventType, now, data)
	header := s.signer.Sign("evt_"+uuid.NewString(), now, body)
	deliveries := 1
	if request.Kind == kindPayTwice {
		deliveries = 2
	}
	response := sandboxResponse{PaymentID: data.PaymentID}
	for range deliveries {
		delivered := s.call(r, http.MethodPost, "/v1/payments/webhook", header, body)
		if delivered.status/100 != 2 {
			refuse(w, http.StatusBadGateway, "The webhook refused the event: "+strings.TrimSpace(delivered.body.String()))
			return
		}
		response.Delivered = append(response.Delivered, delivered.body.Bytes())
	}
	respond(w, http.StatusOK, response)
}

// event returns the type and the data of the event that the page asked for.
func event(request sandboxRequest, price api.Money) (eventType string, data payments.StandardData, ok bool) {
	amount := price.Amount
	data = payments.StandardData{OrderID: request.OrderID, PaymentID: "pay_" + uuid.NewString(), Amount: &amount, Currency: price.Currency}
	switch request.Kind {
	case kindPay, kindPayTwice:
		return payments.StandardSucceeded, data, true
	case kindWrongAmount:
		amount += 100 // more, so that it is a charge that any provider can make
		return payments.StandardSucceeded, data, true
	case kindFail:
		return payments.StandardFailed, payments.StandardData{OrderID: data.OrderID, PaymentID: data.PaymentID}, true
	case kindRefund: // of all that is left of the payment
		return payments.StandardRefunded, payments.StandardData{OrderID: data.OrderID, PaymentID: request.PaymentID}, request.PaymentID != ""
	}
	return "", data, false
}

// call sends a request to the API in-process, as the shopper of r.
func (s sandbox) call(r *http.Request, method, path string, header http.Header, body []byte) *recording {
	recorded := &recording{header: http.Header{}, status: http.StatusOK}
	request, err := http.NewRequestWithContext(r.Context(), method, path, bytes.NewReader(body))
	if err != nil {
		recorded.status = http.StatusBadRequest
		return recorded
	}
	request.Host, request.RemoteAddr = r.Host, r.RemoteAddr
	for _, name := range []string{"Authorization", api.EdgeHeader} {
		if values := r.Header.Values(name); len(values) > 0 {
			request.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		request.Header[name] = values
	}
	s.api.ServeHTTP(recorded, request)
	return recorded
}

// recording keeps a response.
type recording struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recording) Header() http.Header { return r.header }

func (r *recording) WriteHeader(status int) { r.status = status }

func (r *recording) Write(p []byte) (int, error) { return r.body.Write(p) }
