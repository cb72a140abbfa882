package awsauth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	// emptyBody is the SHA-256 of the signed request's empty body.
	emptyBody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	// cacheTokenLife is the longest lifetime that ElastiCache accepts, in seconds.
	cacheTokenLife = "900"
)

// Cache returns a function that makes the credentials of a new connection to the ElastiCache serverless cache called name:
// user, and a token. The token is a presigned URL without its scheme, as in the service's own examples.
// https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/auth-iam.html
func Cache(account aws.Config, name, user string) func(ctx context.Context) (username, password string, err error) {
	query := url.Values{
		"Action": {"connect"}, "User": {user}, "ResourceType": {"ServerlessCache"}, "X-Amz-Expires": {cacheTokenLife},
	}
	return func(ctx context.Context) (string, string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+name+"/?"+query.Encode(), nil)
		if err != nil {
			return "", "", fmt.Errorf("signing in to the cache: %w", err)
		}
		credentials, err := account.Credentials.Retrieve(ctx)
		if err != nil {
			return "", "", fmt.Errorf("signing in to the cache: %w", err)
		}
		signed, _, err := v4.NewSigner().PresignHTTP(ctx, credentials, request, emptyBody, "elasticache", account.Region, time.Now())
		if err != nil {
			return "", "", fmt.Errorf("signing in to the cache: %w", err)
		}
		return user, strings.TrimPrefix(signed, "http://"), nil
	}
}
