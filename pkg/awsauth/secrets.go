package awsauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// secretsTimeout limits reading both versions of a secret. A provider retries after 503, so failing early beats using up the
// request's whole time.
const secretsTimeout = 3 * time.Second

// Labels of a secret's two latest versions.
const (
	stageCurrent  = "AWSCURRENT"
	stagePrevious = "AWSPREVIOUS"
)

// WebhookSecrets returns a function that reads the webhook secrets stored in arn: those of the current version first, then
// those of the previous one, because a payment provider may still sign with it after a rotation. A version contains one
// secret, or several separated by commas or white space. A secret without a value yields none.
func WebhookSecrets(account aws.Config, arn string) func(ctx context.Context) ([]string, error) {
	client := secretsmanager.NewFromConfig(account)
	return func(ctx context.Context) ([]string, error) {
		ctx, cancel := context.WithTimeout(ctx, secretsTimeout)
		defer cancel()
		var all []string
		for _, stage := range []string{stageCurrent, stagePrevious} {
			value, err := secretValue(ctx, client, arn, stage)
			if err != nil {
				return nil, err
			}
			all = append(all, strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })...)
		}
		return all, nil
	}
}

// Login reads user and password from a secret in the format of RDS.
func Login(ctx context.Context, account aws.Config, arn string) (user, password string, err error) {
	value, err := secretValue(ctx, secretsmanager.NewFromConfig(account), arn, stageCurrent)
	if err != nil {
		return "", "", err
	}
	var login struct{ Username, Password string }
	if json.Unmarshal([]byte(value), &login) != nil || login.Username == "" || login.Password == "" {
		return "", "", errors.New("reading the database administrator's secret: expected JSON with username and password") // the value is not quoted
	}
	return login.Username, login.Password, nil
}

// secretValue reads one version of a secret, and returns "" if there is none.
func secretValue(ctx context.Context, client *secretsmanager.Client, arn, stage string) (string, error) {
	out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn, VersionStage: &stage})
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading %s of the secret: %w", stage, err)
	}
	return aws.ToString(out.SecretString), nil
}
