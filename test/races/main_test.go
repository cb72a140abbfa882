// Package races tests the promises with many callers at the same instant, and the simulated sale against live ledgers.
package races

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
