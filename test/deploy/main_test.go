// Package deploy tests the parts of a deployment: template.yaml, and the functions as the processes that Lambda runs.
// Stand-ins replace the AWS services in front of the database, the cache and the secrets.
package deploy

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
