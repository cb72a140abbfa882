// Function expire reclaims due stock once per second, for most of the minute until its schedule starts it again, and
// audits once.
package main

import (
	"flashsale/pkg/app"
	"flashsale/pkg/ledger"
)

func main() {
	f, err := app.NewFunction(ledger.RoleExpire)
	if err != nil {
		app.Fail(err)
	}
	f.SweepJob().Start()
}
