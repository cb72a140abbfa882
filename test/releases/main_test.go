// Package releases runs the previous release's program and this one's on one database, as a deployment and a rollback do.
// The file previous names the commit of the previous release.
package releases

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
