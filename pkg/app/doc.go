// Package app assembles the checkout for every binary. It reads the configuration from the environment. [App]
// connects the ledger, the stock view, the payment verifiers and the HTTP edge. [Sweeper] runs the periodic work.
// [Function] is an App inside a Lambda function.
package app
