// Package app assembles the checkout for every binary. It reads the configuration from the environment, connects the
// ledger, the stock view, the payment verifiers and the HTTP edge ([App]), and runs the periodic work ([Sweeper]).
// [Function] is an App inside a Lambda function.
package app
