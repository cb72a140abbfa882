package admin_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// watcher is an Operator that only has an overview.
type watcher struct {
	admin.Operator
	overview ledger.Overview
}

func (w watcher) Overview(context.Context) (ledger.Overview, error) { return w.overview, nil }

func TestOverviewArrivesWhole(t *testing.T) {
	t.Parallel()
	at := time.Unix(1700000000, 5000).UTC()
	want := ledger.Overview{
		Products: []checkout.Product{{ID: "mug", Name: "Mug", Price: checkout.Money{Amount: 500, Currency: "USD"}, Stock: 9, ReservedStock: 4, SoldStock: 2, Hidden: true, SaleEndsAt: &at}},
		Ordered:  map[string]int64{"mug": 3}, MoreProducts: 7,
		Owed:   []ledger.OwedTotal{{Owed: checkout.Money{Amount: 5, Currency: "USD"}, Payments: 2}},
		Orders: []ledger.ListedOrder{{OrderID: "ord_1", ProductID: "mug", Qty: 2, Status: checkout.OrderPaid, CreatedAt: at}},
		Audits: ledger.AuditTimes{ChangesAt: at, FullAt: at, FullBroken: 1},
	}
	c, _ := clientOf(watcher{overview: want})
	got, err := c.Overview(t.Context())
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("Overview returned %v, and differs (-want +got):\n%s", err, d)
	}
}
