// Function orders serves /v1/orders.
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
	f.HTTP(api.Orders).Start()
}
