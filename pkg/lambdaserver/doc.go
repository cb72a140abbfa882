// Package lambdaserver connects Lambda to the checkout. [HTTP] turns API Gateway's events into requests to the net/http
// handler that `flashsale run` serves. [ScheduledJob] turns the schedule's event into almost a minute of sweeping.
// Metrics and logs are lines on standard output, where Lambda reads both: [Metrics] writes CloudWatch's embedded metric
// format, [NewLogger] writes JSON with the ids of the invocation.
//
// Lambda freezes a function between two invocations, and may kill it during one. So no work is left for later: an
// invocation ends before its deadline, with its metrics written.
//
// On Lambda Managed Instances a process is never frozen, and serves as many invocations at once as AWS_LAMBDA_MAX_CONCURRENCY
// says: aws-lambda-go then asks for that many events. Everything here is safe for that. Each invocation has its own deadline,
// its own ids in the log, and its own recovery from a panic. Metrics are shared: an invocation that ends writes what all have
// measured since the last one, so a value is written once, and the sums are the same.
package lambdaserver
