package lambdaemu

import (
	"context"
	"errors"
	"fmt"

	"os/exec"
	"strings"
)

// Build builds the functions of the source tree that contains the working directory, as tools/lambda/build.mk does for
// a deployment. Each binary is written to dir under its function's name. architecture is a GOARCH; empty means this
// machine's.
func Build(ctx context.Context, dir, architecture string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w", //nolint:gosec // G204: the caller's own directory
		"-o", dir+"/", "flashsale/functions/...")
	build.Env = append(build.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if architecture != "" {
		build.Env = append(build.Env, "GOARCH="+architecture)
	}
	out, err := build.CombinedOutput()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return fmt.Errorf("building the functions: %s", strings.TrimSpace(string(out)))
	}
	if err != nil {
		return fmt.Errorf("building the functions: %w", err)
	}
	return nil
}
