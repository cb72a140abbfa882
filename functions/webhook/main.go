// Function webhook serves /v1/payments/webhook: it receives the events of payment providers.
package main

import (
	"flashsale/pkg/api"
	"flashsale/pkg/app"
	"flashsale/pkg/ledger"
)

func main() {
	f, err := app.NewFunction(ledger.RoleWebhook)
	if err != nil {
		app.Fail(err)
	}
	f.HTTP(api.Webhooks).Start()
}
