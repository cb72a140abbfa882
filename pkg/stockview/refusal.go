package stockview

import (
	"context"
	"errors"
	"strings"

	"github.com/valkey-io/valkey-go"

	"flashsale/pkg/checkout"
)

// A cache that responds may still refuse writes. Ping returns these errors.
var (
	// ErrReadOnly says that the server is a replica, as after a failover, or protects its data from more writes.
	ErrReadOnly = errors.New("the cache is read-only")
	// ErrFull says that the server is out of memory and evicts nothing.
	ErrFull = errors.New("the cache is full")
)

// refusal returns ErrReadOnly or ErrFull for a response that refuses a write, and nil for every other error. A script's
// error has the server's code in its text, with words of the server's release around it.
func refusal(err error) error {
	reply, ok := valkey.IsValkeyErr(err)
	if !ok {
		return nil
	}
	text := reply.Error()
	for code, meaning := range map[string]error{"READONLY ": ErrReadOnly, "NOREPLICAS ": ErrReadOnly, "MISCONF ": ErrReadOnly, "OOM ": ErrFull} {
		if strings.Contains(text, code) {
			return meaning
		}
	}
	return nil
}

// Ping checks that the cache responds and takes writes.
func (v *View) Ping(ctx context.Context) error {
	err := v.client.attempt(ctx, func(ctx context.Context, c valkey.Client) error {
		return c.Do(ctx, c.B().Set().Key(v.prefix+"ping").Value("1").PxMilliseconds(1).Build()).Error()
	})
	if refused := refusal(err); refused != nil {
		return refused
	}
	return err
}

// lost counts a write that the cache did not take. It logs when the cache begins to refuse writes, and noteStored when
// it takes them again.
func (v *View) lost(err error) {
	reason := "failure"
	switch refused := refusal(err); {
	case errors.Is(refused, ErrReadOnly):
		reason = "read_only"
	case errors.Is(refused, ErrFull):
		reason = "full"
	case errors.Is(err, errSkipped):
		reason = "skipped"
	}
	v.rec.Record(checkout.LostWrites, 1, reason)
	if refusal(err) != nil && !v.refusing.Swap(true) {
		v.log.Warn("the cache refuses writes; every read of a product now asks the database", "error", err.Error())
	}
}

func (v *View) noteStored() {
	if v.refusing.Swap(false) {
		v.log.Info("the cache takes writes again")
	}
}
