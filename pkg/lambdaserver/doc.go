// Package lambdaserver connects Lambda to the checkout. [HTTP] turns API Gateway's events into requests to the net/http
// handler that `flashsale run` serves. [ScheduledJob] turns the schedule's event into almost a minute of sweeping.
// Metrics and logs are lines on standard output, where Lambda reads both: [Metrics] writes CloudWatch's embedded metric
// format, [NewLogger] writes JSON with the ids of the invocation.
//
// Lambda freezes a function between two invocations, and may kill it during one. So no work is left for later: an
// invocation ends before its deadline, with its metrics written.
package lambdaserver
