package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"flashsale/pkg/admin"
	"flashsale/pkg/awsauth"
)

// The outputs of template.yaml that the command uses.
const (
	outputAdminFunction = "AdminFunctionName"
	outputAPI           = "ApiUrl"
	outputSecret        = "WebhookSecretArn"
)

// parameterIssuer is the parameter of template.yaml that switches sign-in on.
const parameterIssuer = "JwtIssuer"

// stack is a deployed checkout, found by its name with the user's AWS credentials.
type stack struct {
	name       string
	account    aws.Config
	outputs    map[string]string
	parameters map[string]string
}

func findStack(ctx context.Context, name string) (*stack, error) {
	account, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	if account.Region == "" {
		return nil, fmt.Errorf("%w: --stack needs a region: set AWS_REGION", errUsage)
	}
	found, err := cloudformation.NewFromConfig(account).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if err != nil {
		return nil, fmt.Errorf("finding the stack %s in %s: %w", name, account.Region, err)
	}
	s := &stack{name: name, account: account, outputs: map[string]string{}, parameters: map[string]string{}}
	for _, one := range found.Stacks {
		for _, o := range one.Outputs {
			s.outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
		}
		for _, p := range one.Parameters {
			s.parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
		}
	}
	return s, nil
}

func (s *stack) output(key string) (string, error) {
	if s.outputs[key] == "" {
		return "", fmt.Errorf("the stack %s has no output %s: check that it is a deployed stack of this project", s.name, key)
	}
	return s.outputs[key], nil
}

// operator returns an Operator that calls the stack's admin function. The function who names the operator of a change.
func (s *stack) operator(who func(context.Context) string) (admin.Operator, error) {
	function, err := s.output(outputAdminFunction)
	if err != nil {
		return nil, err
	}
	client := lambda.NewFromConfig(s.account, func(o *lambda.Options) {
		o.RetryMaxAttempts = 1 // a slow call must not be repeated without the operator's knowledge
	})
	return admin.Client{Who: who, Invoke: func(ctx context.Context, payload []byte, operator string) ([]byte, error) {
		input := &lambda.InvokeInput{FunctionName: &function, Payload: payload}
		if operator != "" {
			caller, err := admin.ClientContext(operator)
			if err != nil {
				return nil, err
			}
			input.ClientContext = &caller
		}
		out, err := client.Invoke(ctx, input)
		if err != nil {
			return nil, fmt.Errorf("invoking %s: %w", function, err)
		}
		if out.FunctionError != nil {
			return nil, fmt.Errorf("%s failed: %s", function, out.Payload)
		}
		return out.Payload, nil
	}}, nil
}

// webhook returns the URL for payment events, and the secrets that sign them.
func (s *stack) webhook(ctx context.Context) (url string, secrets []string, err error) {
	if url, err = s.output(outputAPI); err != nil {
		return "", nil, err
	}
	arn, err := s.output(outputSecret)
	if err != nil {
		return "", nil, err
	}
	if secrets, err = awsauth.WebhookSecrets(s.account, arn)(ctx); err != nil {
		return "", nil, err
	}
	if len(secrets) == 0 {
		return "", nil, errors.New("the stack has no webhook secret yet: see docs/operations.md")
	}
	return strings.TrimSuffix(url, "/"), secrets, nil
}
