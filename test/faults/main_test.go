// Package faults tests the whole checkout while its database, its cache or one of its processes fails.
package faults

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
