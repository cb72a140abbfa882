package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-lambda-go/cfn"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// callerField is where the client context of an invocation names the operator. A function of a release that does not know it
// ignores it, which it would not do with a field of the request.
const callerField = "operator"

type deploymentKey struct{}

// Caller names the operator of an invocation of the admin function, or the deployment. Lambda does not tell a function who
// invoked it, so this is what the operator's command says. docs/operations.md has how to prove it.
func Caller(ctx context.Context) string {
	if deployment, ok := ctx.Value(deploymentKey{}).(string); ok {
		return deployment
	}
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		name := []rune(invocation.ClientContext.Custom[callerField])
		return string(name[:min(len(name), maxOperator)])
	}
	return ""
}

// asDeployment makes CloudFormation the operator of a migration.
func asDeployment(ctx context.Context, event cfn.Event) context.Context {
	return context.WithValue(ctx, deploymentKey{}, "CloudFormation, "+event.StackID)
}

// ClientContext is the client context of an invocation by an operator, as Lambda's API takes it.
func ClientContext(operator string) (string, error) {
	text, err := json.Marshal(map[string]any{"custom": map[string]string{callerField: operator}})
	if err != nil {
		return "", fmt.Errorf("naming the operator: %w", err)
	}
	return base64.StdEncoding.EncodeToString(text), nil
}
