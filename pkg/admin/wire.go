package admin

import (
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// The operations in a request: `{"operation": "audit"}`.
const (
	opMigrate    = "migrate"
	opPutProduct = "put_product"
	opProducts   = "list_products"
	opAudit      = "audit"
	opRefundsDue = "list_refunds_due"
	opUnmatched  = "list_unmatched_events"
)

// request is the payload of the admin function.
type request struct {
	Operation string                  `json:"operation"`
	Product   *checkout.ProductChange `json:"product,omitempty"` // put_product
	After     string                  `json:"after,omitempty"`   // list_products
	Limit     int                     `json:"limit,omitempty"`   // of a list: 1 to MaxListed, the default
}

// response is the result of an operation, or its refusal.
type response struct {
	Error      *refusal                `json:"error,omitempty"`
	Product    *product                `json:"product,omitempty"`
	Created    bool                    `json:"created,omitempty"`
	Products   []product               `json:"products,omitempty"`
	Audit      *ledger.Audit           `json:"audit,omitempty"`
	RefundsDue []ledger.RefundDue      `json:"refunds_due,omitempty"`
	Unmatched  []ledger.UnmatchedEvent `json:"unmatched_events,omitempty"`
}

// refusal is the JSON of a *checkout.Error.
type refusal struct {
	Code   checkout.Code `json:"code"`
	Detail string        `json:"detail"`
	Fields []field       `json:"fields,omitempty"`
}

type field struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func refusalOf(e *checkout.Error) *refusal {
	r := &refusal{Code: e.Code, Detail: e.Detail}
	for _, f := range e.Fields {
		r.Fields = append(r.Fields, field(f))
	}
	return r
}

func (r *refusal) err() error {
	e := &checkout.Error{Code: r.Code, Detail: r.Detail}
	for _, f := range r.Fields {
		e.Fields = append(e.Fields, checkout.FieldError(f))
	}
	return e
}
