// Package command tests the flashsale command as a process: its output, its exit codes, and what it leaves behind.
package command

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
