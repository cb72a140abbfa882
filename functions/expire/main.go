// Function expire takes back what is due, once a second for most of the minute in which its schedule starts it, and
// audits once.
package main

import "flashsale/pkg/app"

func main() {
	f, err := app.NewFunction()
	if err != nil {
		app.Fail(err)
	}
	f.Sweeper().Start()
}
