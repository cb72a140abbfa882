package awsauth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"flashsale/internal/awstest"
	"flashsale/pkg/awsauth"
)

// setEnv gives the test the variables that Lambda would set for a function of account.
func setEnv(t *testing.T, account *awstest.Account) {
	t.Helper()
	for _, variable := range account.Env() {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
}

func TestFunctionConfigReadsRegionAndCredentials(t *testing.T) {
	account := awstest.NewAccount()
	setEnv(t, account)
	got := awsauth.FunctionConfig()
	if got.Region != account.Config().Region {
		t.Errorf("expected the region %s, got %s", account.Config().Region, got.Region)
	}
	account.Rotate()
	setEnv(t, account)
	credentials, err := got.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := account.Current()
	if credentials.AccessKeyID != want.AccessKeyID || credentials.SecretAccessKey != want.SecretAccessKey || credentials.SessionToken != want.SessionToken {
		t.Errorf("expected the credentials that the environment has now, got the key %s", credentials.AccessKeyID)
	}
}

func TestFunctionConfigWithoutCredentialsFails(t *testing.T) {
	for _, variable := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(variable, "")
	}
	_, err := awsauth.FunctionConfig().Credentials.Retrieve(t.Context())
	if err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("expected an error that names AWS_ACCESS_KEY_ID, got %v", err)
	}
}

// A process that lives for long gets its credentials from an address, and new ones before the old ones expire.
func TestFunctionConfigFollowsTheCredentialsAddress(t *testing.T) {
	for _, c := range []struct {
		name  string
		life  time.Duration
		fresh bool // the second use gets new ones
	}{{"live for long", time.Hour, false}, {"expire soon", time.Minute, true}} {
		t.Run(c.name, func(t *testing.T) {
			account := awstest.NewAccount()
			setEnv(t, account)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "the token" {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				now := account.Current()
				_ = json.NewEncoder(w).Encode(map[string]any{
					"AccessKeyId": now.AccessKeyID, "SecretAccessKey": now.SecretAccessKey, "Token": now.SessionToken, "Expiration": time.Now().Add(c.life),
				})
			}))
			t.Cleanup(server.Close)
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.URL)
			t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "the token")
			got := awsauth.FunctionConfig()
			account.Rotate() // the environment keeps the old ones
			first := must(got.Credentials.Retrieve(t.Context()))(t)
			if want := account.Current(); first.AccessKeyID != want.AccessKeyID || first.SessionToken != want.SessionToken {
				t.Errorf("expected the credentials of the address, got the key %s", first.AccessKeyID)
			}
			account.Rotate()
			second := must(got.Credentials.Retrieve(t.Context()))(t)
			if fresh := second.AccessKeyID == account.Current().AccessKeyID; fresh != c.fresh {
				t.Errorf("credentials that %s: the next use has new ones: %v, expected %v", c.name, fresh, c.fresh)
			}
		})
	}
}

// The variable for Secrets Manager has precedence over the one for all services, as in the SDK.
func TestFunctionConfigHonoursEndpointVariables(t *testing.T) {
	for _, test := range []struct {
		name         string
		own, general bool
	}{{"of the service", true, false}, {"of all services", false, true}, {"both", true, true}} {
		t.Run(test.name, func(t *testing.T) {
			account := awstest.NewAccount()
			setEnv(t, account)
			secrets := awstest.StartSecretsManager(t, account, authority)
			secrets.Put(arn, "whsec_a,whsec_b")
			for variable, set := range map[string]bool{"AWS_ENDPOINT_URL_SECRETS_MANAGER": test.own, "AWS_ENDPOINT_URL": test.general} {
				switch {
				case variable == "AWS_ENDPOINT_URL" && test.own && set:
					t.Setenv(variable, "https://nowhere.invalid")
				case set:
					t.Setenv(variable, secrets.URL)
				default:
					t.Setenv(variable, "")
				}
			}
			got, err := awsauth.WebhookSecrets(awsauth.FunctionConfig(), arn)(t.Context())
			if err != nil || !slices.Equal(got, []string{"whsec_a", "whsec_b"}) {
				t.Errorf("expected the two secrets, got %q, %v", got, err)
			}
		})
	}
}
