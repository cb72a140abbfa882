// Package lambdaserver turns what starts a Lambda function into calls of the checkout: API Gateway's HTTP events into
// requests of the same net/http handler that `flashsale run` serves ([HTTP]), and the schedule's tick into a minute of
// sweeping ([Sweeper]). What a function records and logs leaves as lines on standard output, which is where Lambda
// takes both from: metrics in CloudWatch's embedded metric format ([Metrics]), logs as JSON with the ids of the
// invocation ([NewLogger]).
//
// A function is frozen between two invocations, and can be frozen or killed in the middle of one. So nothing here is
// left for later: an invocation ends with its metrics written, and before its deadline.
package lambdaserver
