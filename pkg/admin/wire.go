package admin

import (
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Operations of the admin function's requests: `{"operation": "audit"}`.
const (
	opMigrate    = "migrate"
	opPutProduct = "put_product"
	opProducts   = "list_products"
	opAudit      = "audit"
	opRefundsDue = "list_refunds_due"
	opUnmatched  = "list_unmatched_events"
)

// request is the payload of an invocation.
type request struct {
	Operation string                  `json:"operation"`
	Product   *checkout.ProductChange `json:"product,omitempty"` // put_product
	After     string                  `json:"after,omitempty"`   // list_products
	Limit     int                     `json:"limit,omitempty"`   // all lists; 1 to MaxListed (default)
}

// response has the result of the operation, or the reason for its refusal.
type response struct {
	Error      *refusal                `json:"error,omitempty"`
	Product    *product                `json:"product,omitempty"`
	Created    bool                    `json:"created,omitempty"`
	Products   []product               `json:"products,omitempty"`
	Audit      *ledger.Audit           `json:"audit,omitempty"`
	RefundsDue []ledger.RefundDue      `json:"refunds_due,omitempty"`
	Unmatched  []ledger.UnmatchedEvent `json:"unmatched_events,omitempty"`
}

// refusal is a *checkout.Error in JSON.
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
