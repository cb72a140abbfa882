// Function products serves /v1/products: it reads the catalogue.
package main

import (
	"flashsale/pkg/api"
	"flashsale/pkg/app"
	"flashsale/pkg/ledger"
)

func main() {
	f, err := app.NewFunction(ledger.RoleProducts)
	if err != nil {
		app.Fail(err)
	}
	f.HTTP(api.Products).Start()
}
