package lambdaserver

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

const (
	// jobReserve is the time that remains before the function's deadline when a job ends.
	jobReserve = 4 * time.Second
	// jobTimeout limits an invocation without a deadline.
	jobTimeout = 50 * time.Second
)

// ScheduledJob runs a job that works continuously. EventBridge starts it at most once a minute, so each invocation works
// until shortly before its deadline.
type ScheduledJob struct {
	// Run works until ctx ends. It logs its errors, and returns the last one.
	Run     func(ctx context.Context) error
	Metrics *Metrics
}

// Start serves until Lambda ends the process.
func (j *ScheduledJob) Start() { lambda.Start(j.Invoke) }

// Invoke runs the job, whatever the event. It fails if Run fails, so that Lambda's error metric and the dead-letter queue
// show it.
func (j *ScheduledJob) Invoke(ctx context.Context, _ json.RawMessage) error {
	defer j.Metrics.Flush()
	end := time.Now().Add(jobTimeout)
	if deadline, ok := ctx.Deadline(); ok {
		end = deadline.Add(-jobReserve)
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	if j.Run(ctx) != nil {
		return errors.New("the last run failed; the log has the cause") // Lambda shows this to callers
	}
	return nil
}
