package checkout

import "context"

// The values of the label "by" of HoldsRefused.
const (
	byGate   = "gate"   // a cache entry or a remembered block, without any database call
	byLedger = "ledger" // at least one database call
)

// gate refuses a hold that the stock view shows to be impossible; by tells whether that took a database call. It never
// grants. A key that may have placed a hold passes, since that hold exists even if the product has sold out or got a limit since.
// Without a refusal it returns the product that the view shows, or nil if a product cannot have that price.
func (s *Service) gate(ctx context.Context, shopper Shopper, productID string, qty int64, key *IdempotencyKey) (seen *Product, refusal *Error, by string) {
	found, err := s.View.Lookup(ctx, productID, key)
	by = byGate
	if found.FromLedger {
		by = byLedger
	}
	if CodeOf(err) == CodeProductNotFound {
		return nil, ErrProductNotFound, by
	}
	if err != nil {
		return nil, nil, "" //nolint:nilerr // no reason to refuse: the ledger decides, and reports its own error
	}
	refusal = found.Product.Refuses(qty)
	personal := s.refusesShopper(shopper, productID, found.Product)
	switch {
	case refusal == nil:
		refusal = personal
	case personal == nil && s.mayReturn(ctx, found.Product, qty, refusal):
		refusal = nil
	}
	if refusal == nil {
		if found.Product.Price.isPrice() {
			seen = &found.Product
		}
		return seen, nil, ""
	}
	if key != nil && !found.KeyUnused {
		by = byLedger
		if used, err := s.Ledger.KeyUsed(ctx, *key); err != nil || used {
			return nil, nil, "" //nolint:nilerr // as above
		}
	}
	return nil, refusal, by
}

// refusesShopper refuses a shopper that may not reserve the product at all.
func (s *Service) refusesShopper(shopper Shopper, productID string, p Product) *Error {
	if p.MaxPerShopper != nil && shopper.Anonymous() {
		return ErrSignInNeeded
	}
	return s.Blocked.refusal(shopper, productID)
}

// mayReturn reports whether a sold-out product's reserved units may be due, and it is this caller's turn to find out. The
// ledger reclaims them; a view that is written all the time, such as by payments, would never show them.
func (s *Service) mayReturn(ctx context.Context, p Product, qty int64, refusal *Error) bool {
	return refusal.Code == CodeSoldOut && qty <= p.Stock-p.SoldStock && s.View.AskAgain(ctx, p.ID)
}
