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

// secretsTimeout limits reading both versions. A provider retries a delivery that got 503, so failing early is better
// than using up the request's timeout.
const secretsTimeout = 3 * time.Second

// The labels of a secret's two latest versions.
const (
	stageCurrent  = "AWSCURRENT"
	stagePrevious = "AWSPREVIOUS"
)

// WebhookSecrets reads the webhook secrets of arn: those of its current version, then those of the previous one, with
// which a provider may sign for a while after a rotation. A version has one secret, or several separated by commas or
// white space. A secret without a value yields none.
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

// Login reads the user and the password from a secret in RDS's format.
func Login(ctx context.Context, account aws.Config, arn string) (user, password string, err error) {
	value, err := secretValue(ctx, secretsmanager.NewFromConfig(account), arn, stageCurrent)
	if err != nil {
		return "", "", err
	}
	var login struct{ Username, Password string }
	if json.Unmarshal([]byte(value), &login) != nil || login.Username == "" || login.Password == "" {
		return "", "", errors.New("reading the database administrator's secret: expected JSON with username and password") // the value is not shown
	}
	return login.Username, login.Password, nil
}

// secretValue reads one version of a secret. It returns "" if there is none.
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
