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

// secretsTimeout bounds the reading of both versions: a provider delivers again what got 503, and sooner is better than
// after all that a request may take.
const secretsTimeout = 3 * time.Second

// The labels of a secret's two latest versions.
const (
	stageCurrent  = "AWSCURRENT"
	stagePrevious = "AWSPREVIOUS"
)

// WebhookSecrets reads the webhook secrets that arn holds: those of its current version, then those of the one before,
// which a payment provider may go on to sign with for a while after a rotation. A version has one secret, or several
// separated by commas or white space. A secret that nobody has given a value yet has none.
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

// Login reads the user and the password from a secret in the form that RDS keeps.
func Login(ctx context.Context, account aws.Config, arn string) (user, password string, err error) {
	value, err := secretValue(ctx, secretsmanager.NewFromConfig(account), arn, stageCurrent)
	if err != nil {
		return "", "", err
	}
	var login struct{ Username, Password string }
	if json.Unmarshal([]byte(value), &login) != nil || login.Username == "" || login.Password == "" {
		return "", "", errors.New("reading the database administrator's secret: expected JSON with username and password") // without what is there
	}
	return login.Username, login.Password, nil
}

// secretValue reads one version of a secret; "" when there is none.
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
