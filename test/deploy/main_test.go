// Package deploy tests what a deployment consists of: template.yaml, and the functions as the processes that Lambda runs,
// with stand-ins for the fronts of AWS's services.
package deploy

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
