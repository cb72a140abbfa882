// Function holds serves /v1/holds: the simulator.
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
	f.HTTP(api.Holds).Start()
}
