package awsauth

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
)

// credentialsTimeout limits one request to the credentials' address, which is on the function's own machine.
const credentialsTimeout = time.Second

// FunctionConfig returns the AWS configuration of a Lambda function, read from the variables that Lambda sets: the region
// and the temporary credentials of the function's role. The SDK's own loader also supports profiles, single sign-on and
// instance metadata, which no function needs and which make every function's zip 14 % larger.
//
// A process may outlive its credentials where Lambda does not end it within hours, as on Managed Instances. Lambda then names
// an address for current ones in AWS_CONTAINER_CREDENTIALS_FULL_URI, which has precedence, as in the SDK's loader for SnapStart.
//
// AWS_ENDPOINT_URL_SECRETS_MANAGER, else AWS_ENDPOINT_URL, replaces the address of Secrets Manager, which is the only
// service that a function calls through the SDK.
func FunctionConfig() aws.Config {
	account := aws.Config{Region: os.Getenv("AWS_REGION"), Credentials: aws.CredentialsProviderFunc(functionCredentials)}
	if url := os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"); url != "" {
		account.Credentials = aws.NewCredentialsCache(endpointcreds.New(url, func(o *endpointcreds.Options) {
			o.AuthorizationToken = os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
			o.HTTPClient = &http.Client{Timeout: credentialsTimeout}
		}), func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = 5 * time.Minute })
	}
	if url := cmp.Or(os.Getenv("AWS_ENDPOINT_URL_SECRETS_MANAGER"), os.Getenv("AWS_ENDPOINT_URL")); url != "" {
		account.BaseEndpoint = &url
	}
	return account
}

// functionCredentials reads the environment each time. Lambda never changes it during a process's life.
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
