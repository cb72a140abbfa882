package awsauth

import (
	"cmp"
	"context"
	"errors"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// FunctionConfig returns the AWS configuration of a Lambda function, read from the variables that Lambda sets: the region
// and the temporary credentials of the function's role. The SDK's own loader also supports profiles, single sign-on and
// instance metadata, which no function needs and which make every function's zip 14 % larger.
//
// AWS_ENDPOINT_URL_SECRETS_MANAGER, else AWS_ENDPOINT_URL, replaces the address of Secrets Manager, which is the only
// service that a function calls through the SDK.
func FunctionConfig() aws.Config {
	account := aws.Config{Region: os.Getenv("AWS_REGION"), Credentials: aws.CredentialsProviderFunc(functionCredentials)}
	if url := cmp.Or(os.Getenv("AWS_ENDPOINT_URL_SECRETS_MANAGER"), os.Getenv("AWS_ENDPOINT_URL")); url != "" {
		account.BaseEndpoint = &url
	}
	return account
}

// functionCredentials reads the environment each time. Lambda never changes it during a process's life, so there is
// nothing to refresh.
func functionCredentials(context.Context) (aws.Credentials, error) {
	c := aws.Credentials{
		AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken: os.Getenv("AWS_SESSION_TOKEN"), Source: "environment",
	}
	if !c.HasKeys() {
		return aws.Credentials{}, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
	}
	return c, nil
}
