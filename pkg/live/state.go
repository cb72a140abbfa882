package live

import (
	"fmt"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Units are a product's units: available, held, ordered, sold.
type Units [4]int64

// StockSample is the stock at one moment.
type StockSample struct {
	At       int64            `json:"at"` // milliseconds since 1970, as all times here
	Products map[string]Units `json:"products"`
}

// TrafficSample is the traffic of one interval, at its end.
type TrafficSample struct {
	At       int64              `json:"at"`
	Requests float64            `json:"requests"`    // per second
	Refusals map[string]float64 `json:"refusals"`    // per second, by code
	P50      *float64           `json:"p50_ms"`      // nil without requests
	P99      *float64           `json:"p99_ms"`      // as above
	SweepLag *float64           `json:"sweep_lag_s"` // mean over the sweeps; nil without any
}

// State is everything but the samples.
type State struct {
	At           int64     `json:"at"`      // 0: no figures are known yet
	Trouble      string    `json:"trouble"` // one sentence; empty: none
	Products     []product `json:"products"`
	MoreProducts int64     `json:"more_products,omitempty"`
	Owed         owed      `json:"owed"`
	Audit        audit     `json:"audit"`
	Orders       []order   `json:"orders"`
}

type product struct {
	ID            string         `json:"id"`
	Name          string         `json:"name"`
	Price         checkout.Money `json:"price"`
	Stock         int64          `json:"stock"`
	Available     int64          `json:"available"`
	Held          int64          `json:"held"`
	Ordered       int64          `json:"ordered"`
	Sold          int64          `json:"sold"`
	MaxQtyPerHold int64          `json:"max_qty_per_hold"`
	MaxPerShopper *int64         `json:"max_per_shopper"`
	Hidden        bool           `json:"hidden"`
	SaleStartsAt  *time.Time     `json:"sale_starts_at"`
	SaleEndsAt    *time.Time     `json:"sale_ends_at"`
}

type owed struct {
	Payments int64            `json:"payments"`
	Money    []checkout.Money `json:"money"`
}

// audit has the result of the latest audits.
type audit struct {
	State     string   `json:"state"`
	Broken    int64    `json:"broken"`
	Findings  []string `json:"findings"`
	ChangesAt *int64   `json:"changes_at"`
	FullAt    *int64   `json:"full_at"`
}

// The states of an audit.
const (
	auditClean   = "clean"
	auditBroken  = "broken"
	auditUnknown = "unknown" // no audit of the changes is known, and the full audit found nothing
)

type order struct {
	ID        string               `json:"id"`
	ProductID string               `json:"product_id"`
	Qty       int64                `json:"qty"`
	Amount    checkout.Money       `json:"amount"`
	Status    checkout.OrderStatus `json:"status"`
	Reason    checkout.Reason      `json:"reason"`
	Reference string               `json:"reference"`
	CreatedAt int64                `json:"created_at"`
	UpdatedAt int64                `json:"updated_at"`
}

// productOf splits the reserved units. The units of unpaid orders may be a little older than the product.
func productOf(p checkout.Product, orderedUnits int64) product {
	orderedUnits = min(orderedUnits, p.ReservedStock)
	return product{
		ID: p.ID, Name: p.Name, Price: p.Price, Stock: p.Stock,
		Available: p.AvailableStock(), Held: p.ReservedStock - orderedUnits, Ordered: orderedUnits, Sold: p.SoldStock,
		MaxQtyPerHold: p.MaxQtyPerHold, MaxPerShopper: p.MaxPerShopper, Hidden: p.Hidden, SaleStartsAt: p.SaleStartsAt, SaleEndsAt: p.SaleEndsAt,
	}
}

// stateOf is the state that an overview shows. broken is nil if the result of the audit of the changes is not known.
func stateOf(o ledger.Overview, broken *int64, findings []ledger.Finding, now time.Time) State {
	s := State{
		At: now.UnixMilli(), Products: []product{}, MoreProducts: o.MoreProducts,
		Owed: owed{Money: []checkout.Money{}}, Orders: []order{}, Audit: auditOf(o.Audits, broken, findings),
	}
	for _, p := range o.Products {
		s.Products = append(s.Products, productOf(p, o.Ordered[p.ID]))
	}
	for _, t := range o.Owed {
		s.Owed.Payments += t.Payments
		s.Owed.Money = append(s.Owed.Money, t.Owed)
	}
	for _, one := range o.Orders {
		s.Orders = append(s.Orders, order{
			one.OrderID, one.ProductID, one.Qty, one.Amount, one.Status, one.Reason, one.Reference, one.CreatedAt.UnixMilli(), one.UpdatedAt.UnixMilli(),
		})
	}
	return s
}

// maxFindings limits the findings on the page.
const maxFindings = 5

func auditOf(times ledger.AuditTimes, broken *int64, findings []ledger.Finding) audit {
	a := audit{State: auditUnknown, Findings: []string{}, Broken: int64(times.FullBroken), ChangesAt: millis(times.ChangesAt), FullAt: millis(times.FullAt)}
	if broken != nil {
		a.Broken, a.State = max(a.Broken, *broken), auditClean
	}
	if a.Broken == 0 {
		return a
	}
	a.State = auditBroken
	for _, f := range findings[:min(len(findings), maxFindings)] {
		a.Findings = append(a.Findings, fmt.Sprintf("%s, %s: %s", f.Check, f.Entity, f.Detail))
	}
	if len(findings) == 0 {
		a.Findings = append(a.Findings, "`flashsale audit` lists what is broken.")
	}
	return a
}

func millis(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	at := t.UnixMilli()
	return &at
}

func sampleOf(s State) StockSample {
	sample := StockSample{At: s.At, Products: map[string]Units{}}
	for _, p := range s.Products {
		sample.Products[p.ID] = Units{p.Available, p.Held, p.Ordered, p.Sold}
	}
	return sample
}
