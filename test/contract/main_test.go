// Package contract tests the HTTP contract on a real database and cache, served by the local server and by the Lambda
// functions. Tests that need neither are in pkg/api.
package contract

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
