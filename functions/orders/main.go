// Function orders serves /v1/orders.
package main

import (
	"flashsale/pkg/api"
	"flashsale/pkg/app"
	"flashsale/pkg/ledger"
)

func main() {
	f, err := app.NewFunction(ledger.RoleOrders)
	if err != nil {
		app.Fail(err)
	}
	f.HTTP(api.Orders).Start()
}
