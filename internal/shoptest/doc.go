// Package shoptest gives a test a whole checkout to buy from. A [Shop] has a schema of its own on a real database, and a
// real cache. Either the local server serves it, or the Lambda functions do, as processes behind a gateway.
//
// [Open] starts a Shop with one product. Its methods send requests as a shopper or a payment provider would
// ([Shop.PostHold], [Shop.PostOrder], [Shop.Deliver]); the embedded ledger reads the rows behind them. [AtOnce] starts
// requests at the same instant and [Tally] counts their responses. A [Desk] is a directory to run the flashsale command
// in. Binaries are built once into .local/test-bin, for all test packages.
package shoptest
