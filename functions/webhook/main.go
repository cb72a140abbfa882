// Function webhook serves /v1/payments/webhook: the payment providers' events.
package main

import (
	"flashsale/pkg/api"
	"flashsale/pkg/app"
)

func main() {
	f, err := app.NewFunction()
	if err != nil {
		app.Fail(err)
	}
	f.HTTP(api.Webhooks).Start()
}
