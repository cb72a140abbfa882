// Package app is what every binary shares: the configuration, read from the environment, and the composition root,
// which puts the ledger, the stock view, the payment verifiers and the HTTP edge together.
package app
