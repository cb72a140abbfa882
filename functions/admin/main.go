// Function admin does an operator's work inside the stack's network: see pkg/admin. It has no URL, and IAM controls
// access.
package main

import (
	"flashsale/pkg/admin"
	"flashsale/pkg/app"
	"flashsale/pkg/ledger"
)

func main() {
	f, err := app.NewFunction(ledger.RoleAdmin)
	if err != nil {
		app.Fail(err)
	}
	local := admin.Local{Ledger: f.Ledger, Migration: f.Migrate, Stripe: f.Config.UsesStripe(), Who: admin.Caller}
	operator := admin.Logged{Operator: local, Logger: f.Logger(), Who: admin.Caller, Product: f.Ledger.Product}
	admin.Handler{Operator: operator, Logger: f.Logger(), Flush: f.Flush}.Start()
}
