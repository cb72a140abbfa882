// Function holds serves /v1/holds: it places, reads and releases holds.
package main

import (
	"flashsale/pkg/api"
	"flashsale/pkg/app"
	"flashsale/pkg/ledger"
)

func main() {
	f, err := app.NewFunction(ledger.RoleHolds)
	if err != nil {
		app.Fail(err)
	}
	f.HTTP(api.Holds).Start()
}
