package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"flashsale/pkg/checkout"
	"flashsale/pkg/web"
)

// changed is the response to a change.
type changed struct {
	Product product `json:"product"`
	Changed bool    `json:"changed"` // false: it was so before
}

// serveAction pauses, resumes or ends the sale of a product. A paused product is hidden: shoppers get 404 for it and place no holds, but
// existing holds and orders continue.
func (l *Live) serveAction(w http.ResponseWriter, r *http.Request) {
	if err := web.ReadJSON(w, r, &struct{}{}); err != nil {
		refuse(w, http.StatusBadRequest, "The request cannot be read: "+err.Error()+".")
		return
	}
	id := r.PathValue("id")
	var p checkout.Product
	var did bool
	var err error
	switch r.PathValue("action") {
	case "pause":
		p, did, err = l.options.Operator.HideProduct(r.Context(), id, true)
	case "resume":
		p, did, err = l.options.Operator.HideProduct(r.Context(), id, false)
	case "end":
		p, did, err = l.options.Operator.EndSale(r.Context(), id)
	default:
		refuse(w, http.StatusNotFound, "The action is pause, resume or end.")
		return
	}
	l.respondChanged(w, r, p, did, err)
}

// patch are the fields to change; nil fields stay.
type patch struct {
	Name          *string         `json:"name"`
	Price         *checkout.Money `json:"price"`
	Stock         *int64          `json:"stock"`
	MaxQtyPerHold *int64          `json:"max_qty_per_hold"`
	MaxPerShopper *int64          `json:"max_per_shopper"` // 0: no limit
	SaleStartsAt  optionalTime    `json:"sale_starts_at"`
	SaleEndsAt    optionalTime    `json:"sale_ends_at"`
}

// optionalTime is a time of a patch. null and "" remove it; an absent member leaves it.
type optionalTime struct{ moment *checkout.Moment }

// UnmarshalJSON implements json.Unmarshaler.
func (o *optionalTime) UnmarshalJSON(text []byte) error {
	var at *string
	if err := json.Unmarshal(text, &at); err != nil {
		return errors.New("a time must be a string or null")
	}
	o.moment = &checkout.Moment{}
	if at == nil || *at == "" {
		return nil
	}
	if err := o.moment.UnmarshalText([]byte(*at)); err != nil {
		return fmt.Errorf("a time is %q, %w", *at, err)
	}
	return nil
}

// serveChange changes settings of a product that the page shows. It creates none.
func (l *Live) serveChange(w http.ResponseWriter, r *http.Request) {
	var q patch
	if err := web.ReadJSON(w, r, &q); err != nil {
		refuse(w, http.StatusBadRequest, "The request cannot be read: "+err.Error()+".")
		return
	}
	change := checkout.ProductChange{
		ID: r.PathValue("id"), Name: q.Name, Price: q.Price, Stock: q.Stock, MaxQtyPerHold: q.MaxQtyPerHold,
		SaleStartsAt: q.SaleStartsAt.moment, SaleEndsAt: q.SaleEndsAt.moment,
	}
	if q.MaxPerShopper != nil {
		change.MaxPerShopper = &checkout.Limit{}
		if *q.MaxPerShopper != 0 {
			change.MaxPerShopper.Units = q.MaxPerShopper
		}
	}
	if change == (checkout.ProductChange{ID: change.ID}) {
		refuse(w, http.StatusUnprocessableEntity, "There is nothing to change.")
		return
	}
	if !l.shows(change.ID) {
		l.respondChanged(w, r, checkout.Product{}, false, checkout.ErrProductNotFound)
		return
	}
	err := change.Check()
	var p checkout.Product
	if err == nil {
		p, _, err = l.options.Operator.PutProduct(r.Context(), change)
	}
	l.respondChanged(w, r, p, true, err)
}

// shows reports whether the page shows a product.
func (l *Live) shows(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.overview.Ordered[id]
	return ok
}

// respondChanged responds to a change, and asks for a sample of the stock at once.
func (l *Live) respondChanged(w http.ResponseWriter, r *http.Request, p checkout.Product, did bool, err error) {
	if err != nil {
		l.refuseChange(w, r, err)
		return
	}
	select {
	case l.nudge <- struct{}{}:
	default: // a sample is already due
	}
	l.mu.Lock()
	ordered := l.overview.Ordered[p.ID]
	l.mu.Unlock()
	respond(w, http.StatusOK, changed{productOf(p, ordered), did})
}

// statuses are the statuses of refused changes. Other codes are 422.
var statuses = map[checkout.Code]int{checkout.CodeProductNotFound: http.StatusNotFound, checkout.CodeBusy: http.StatusServiceUnavailable}

func (l *Live) refuseChange(w http.ResponseWriter, r *http.Request, err error) {
	var refused *checkout.Error
	if !errors.As(err, &refused) {
		l.options.Logger.ErrorContext(r.Context(), "a change from the page /live failed", "path", r.URL.Path, "error", err.Error())
		refuse(w, http.StatusBadGateway, "The change failed, and may have taken effect. The log has the cause.")
		return
	}
	status, known := statuses[refused.Code]
	if !known {
		status = http.StatusUnprocessableEntity
	}
	var fields []fieldProblem
	for _, f := range refused.Fields {
		fields = append(fields, fieldProblem(f))
	}
	refuse(w, status, refused.Detail, fields...)
}
