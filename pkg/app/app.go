package app

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/google/uuid"

	"flashsale/pkg/api"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/payments"
	"flashsale/pkg/stockview"
)

// Deps are what differs from binary to binary.
type Deps struct {
	DSN       string // the application user's
	CacheAddr string
	Recorder  checkout.Recorder
	Logger    *slog.Logger
}

// App is the checkout, put together. Nothing connects before the first request.
type App struct {
	Service *checkout.Service
	Ledger  *ledger.Ledger
	View    *stockview.View

	config Config
	log    *slog.Logger
}

// New puts the checkout together.
func New(c Config, d Deps) (*App, error) {
	l, err := ledger.Open(d.DSN, d.Recorder)
	if err != nil {
		return nil, err
	}
	view := stockview.New(stockview.Options{Addr: d.CacheAddr, Source: l, Recorder: d.Recorder, Logger: d.Logger})
	return &App{
		Service: &checkout.Service{
			Ledger: l, View: view, Recorder: d.Recorder, NewID: newID, HoldTTL: c.HoldTTL, PaymentWindow: c.PaymentWindow,
		},
		Ledger: l, View: view, config: c, log: d.Logger,
	}, nil
}

// Handler serves the HTTP contract, and what extra adds beside it.
func (a *App) Handler(extra func(*http.ServeMux)) (http.Handler, error) {
	o := api.Options{Service: a.Service, Logger: a.log, Extra: extra}
	if len(a.config.WebhookSecrets) > 0 {
		verifier, err := payments.NewStandard(a.config.WebhookSecrets)
		if err != nil {
			return nil, fmt.Errorf("reading the webhook secrets: %w", err)
		}
		o.Standard = verifier
	}
	if len(a.config.StripeWebhookSecrets) > 0 {
		verifier, err := payments.NewStripe(a.config.StripeWebhookSecrets)
		if err != nil {
			return nil, fmt.Errorf("reading the Stripe webhook secrets: %w", err)
		}
		o.Stripe = verifier
	}
	return api.New(o), nil
}

// Close closes all connections.
func (a *App) Close() error {
	a.View.Close()
	return a.Ledger.Close()
}

func newID() (checkout.ID, error) {
	id, err := uuid.NewV7()
	return checkout.ID(id), err
}
