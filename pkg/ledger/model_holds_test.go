package ledger_test

import (
	"pgregory.net/rapid"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

// These are the model's holds: alone, in batches, and released.

func (m *machine) place(t *rapid.T) {
	req := m.drawHold(t)
	receipt, err := m.ledger.PlaceHold(m.ctx, req)
	m.wantHold(t, req, receipt, err)
}

// placeTogether places a batch. The holds that share its call come first, and the others follow, each by itself.
func (m *machine) placeTogether(t *rapid.T) {
	seen := checkout.Money{Amount: rapid.SampledFrom([]int64{m.price, m.price, m.price + 1}).Draw(t, "price seen"), Currency: "USD"}
	var batch []checkout.HoldRequest
	for range rapid.IntRange(2, 5).Draw(t, "holds") {
		req := m.drawHold(t)
		req.Price = &seen
		batch = append(batch, req)
	}
	placed := m.ledger.PlaceTogether(m.ctx, batch)
	for _, shared := range []bool{true, false} {
		for i, p := range placed {
			if p.Shared == shared {
				m.wantHold(t, batch[i], p.Receipt, p.Err)
			}
		}
	}
}

func (m *machine) drawHold(t *rapid.T) checkout.HoldRequest {
	req := checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: m.product, Qty: rapid.Int64Range(1, 5).Draw(t, "qty"), TTL: ttl}
	if n := rapid.IntRange(0, 6).Draw(t, "key"); n > 0 {
		req.Key = &checkout.IdempotencyKey{byte(n)}
	}
	if seen := rapid.SampledFrom([]int64{-1, m.price, m.price + 1}).Draw(t, "price seen"); seen >= 0 {
		req.Price = &checkout.Money{Amount: seen, Currency: rapid.SampledFrom([]string{"USD", "EUR"}).Draw(t, "currency seen")}
	}
	return req
}

// wantHold checks what became of a hold, and changes the model.
func (m *machine) wantHold(t *rapid.T, req checkout.HoldRequest, receipt checkout.Receipt, err error) {
	if req.Key != nil {
		if first, used := m.keys[*req.Key]; used {
			if m.accounts[first].qty != req.Qty {
				m.want(t, err, checkout.CodeIdempotencyReused)
			} else if must(t, err); receipt.Hold.ID != first || !receipt.Repeated {
				t.Fatalf("the key's hold is %s, got %+v", first.HoldID(), receipt)
			}
			return
		}
	}
	if req.Qty > 4 {
		m.want(t, err, checkout.CodeQtyOverLimit)
		return
	}
	if m.available() < req.Qty {
		m.reclaim()
	}
	if m.available() < req.Qty {
		m.want(t, err, checkout.CodeSoldOut)
		return
	}
	must(t, err)
	m.ids = append(m.ids, req.ID)
	m.accounts[req.ID] = &account{
		id: req.ID, qty: req.Qty, amount: checkout.Money{Amount: req.Qty * m.price, Currency: "USD"}, expires: m.now.Add(ttl),
		hold: checkout.HoldActive, units: checkout.StockReserved,
	}
	if req.Key != nil {
		m.keys[*req.Key] = req.ID
	}
}

func (m *machine) want(t *rapid.T, err error, code checkout.Code) {
	if checkout.CodeOf(err) != code {
		t.Fatalf("got %v, want %q", err, code)
	}
}

func (m *machine) release(t *rapid.T) {
	id, e := m.draw(t)
	_, err := m.ledger.ReleaseHold(m.ctx, checkout.Caller{}, id)
	switch e.hold {
	case checkout.HoldOrdered:
		m.want(t, err, checkout.CodeHoldOrdered)
	case checkout.HoldActive:
		must(t, err)
		e.hold, e.units = checkout.HoldReleased, checkout.StockAvailable
		if !m.now.Before(e.expires) {
			e.hold = checkout.HoldExpired
		}
	default:
		must(t, err)
	}
}
