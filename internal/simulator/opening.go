package simulator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"flashsale/pkg/checkout"
)

// ErrElsewhere means that the server at the URL does not belong to the operator or the signer.
var ErrElsewhere = errors.New("the server is not the one that this command works on")

// open puts the product on sale, and makes sure that the server belongs to the operator and the signer.
func (s *simulation) open(ctx context.Context) (err error) {
	if err := s.checkServer(ctx); err != nil {
		return err
	}
	if s.auditBefore, err = s.Operator.Audit(ctx); err != nil {
		return fmt.Errorf("auditing before the sale: %w", err)
	}
	if err := s.Operator.PutOnSale(ctx, Offer{
		ID: s.Product, Name: fmt.Sprintf("Rush of %d shoppers", s.Sale.Shoppers), Price: price, Currency: currency,
		Stock: s.Sale.Stock, MaxQtyPerHold: maxQty, MaxPerShopper: s.limit(),
	}); err != nil {
		return fmt.Errorf("putting the product on sale: %w", err)
	}
	a := s.askForProduct(ctx)
	switch {
	case a.lost():
		return fmt.Errorf("no server responds at %s", s.URL)
	case a.status == http.StatusNotFound:
		return fmt.Errorf("%w: %s does not know the product that was just put on sale; does it use the database of MYSQL_DSN, or this directory's?", ErrElsewhere, s.URL)
	case a.status != http.StatusOK:
		return fmt.Errorf("%s responded %d %s when asked for the product", s.URL, a.status, a.body.Code)
	}
	// An event of an unknown type is recorded without effect, and shows whether the server accepts the signature.
	a = s.ask(ctx, s.delivery("evt_"+s.Product+"_opens", []byte(`{"type":"simulator.opens","data":{}}`)))
	switch {
	case a.status == http.StatusUnauthorized, a.status == http.StatusNotFound:
		return fmt.Errorf("%w: it does not accept this command's webhook secret (%s); give both the same WEBHOOK_SECRETS, or run this command in the directory of its `flashsale run`", ErrElsewhere, a.body.Code)
	case !a.ok():
		return fmt.Errorf("%s responded %s to a payment event", s.URL, a.outcome())
	}
	return s.checkSignIn(ctx)
}

// checkServer looks for the server before anything is put on sale. A stack has no /healthz and responds with 404.
func (s *simulation) checkServer(ctx context.Context) error {
	a := s.ask(ctx, request{method: http.MethodGet, path: "/healthz", probe: true})
	switch {
	case a.lost():
		return fmt.Errorf("no server responds at %s", s.URL)
	case !a.ok() && a.status != http.StatusNotFound:
		return fmt.Errorf("%s/healthz responded %d, expected 200", s.URL, a.status)
	}
	return nil
}

// newProduct is how long a cached list may hide a new product.
const newProduct = 3 * time.Second

// askForProduct reads the product that was just put on sale.
func (s *simulation) askForProduct(ctx context.Context) response {
	begun := s.clock.now()
	for {
		a := s.ask(ctx, s.lookRequest())
		if a.status != http.StatusNotFound || s.clock.now()-begun > newProduct || !s.clock.until(ctx, s.clock.now()+200*time.Millisecond) {
			return a
		}
	}
}

// checkSignIn makes sure that the server accepts the shoppers' tokens, or takes them without.
func (s *simulation) checkSignIn(ctx context.Context) error {
	if s.SignIn == nil {
		if a := s.ask(ctx, (&hold{id: checkout.ID{}.HoldID()}).request(LookHold)); a.status == http.StatusUnauthorized {
			return fmt.Errorf("%w: its shoppers have to sign in, and this command has no tokens for it", ErrElsewhere)
		}
		return nil
	}
	a := s.ask(ctx, listRequest(s.token(s.probeName()), ""))
	switch {
	case a.status == http.StatusUnauthorized:
		return fmt.Errorf("%w: it does not accept this command's shoppers (%s); run this command in the directory of its `flashsale run`, which must not have a JWT_ISSUER", ErrElsewhere, a.body.Code)
	case !a.ok():
		return fmt.Errorf("%s responded %s to a shopper that lists its holds", s.URL, a.outcome())
	}
	return nil
}
