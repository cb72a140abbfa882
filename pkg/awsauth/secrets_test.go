package awsauth_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"flashsale/internal/awstest"
	"flashsale/pkg/awsauth"
)

const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:Test-AbCdEf"

// kept starts a Secrets Manager with versions of one secret, the oldest first, and returns a configuration to read it with.
func kept(t *testing.T, versions ...string) (*awstest.SecretsManager, aws.Config) {
	t.Helper()
	account := awstest.NewAccount()
	s := awstest.StartSecretsManager(t, account, authority)
	for _, v := range versions {
		s.Put(arn, v)
	}
	cfg := account.Config()
	cfg.BaseEndpoint = &s.URL
	return s, cfg
}

func TestWebhookSecretsOfBothVersions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		versions []string
		want     []string
	}{
		{"no value yet", nil, nil},
		{"never rotated", []string{"whsec_a"}, []string{"whsec_a"}},
		{"rotated", []string{"whsec_a", "whsec_b"}, []string{"whsec_b", "whsec_a"}},
		{"rotated twice", []string{"whsec_a", "whsec_b", "whsec_c"}, []string{"whsec_c", "whsec_b"}},
		{"several", []string{" whsec_a,whsec_b\n", "\twhsec_c , whsec_d\r\n,"}, []string{"whsec_c", "whsec_d", "whsec_a", "whsec_b"}},
		{"emptied", []string{"whsec_a", " "}, []string{"whsec_a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, cfg := kept(t, test.versions...)
			read := awsauth.WebhookSecrets(cfg, arn)
			if n := len(s.Reads()); n > 0 {
				t.Errorf("expected no read before the first call, got %d", n)
			}
			got, err := read(context.Background())
			if d := cmp.Diff(test.want, got); err != nil || d != "" {
				t.Errorf("%v; want (-), got (+):\n%s", err, d)
			}
			if reads := s.Reads(); !slices.Equal(reads, []string{awstest.Current, awstest.Previous}) {
				t.Errorf("expected to read both versions, read %v", reads)
			}
		})
	}
}

// Nothing is cached: the next read sees a new version.
func TestWebhookSecretsAreNotCached(t *testing.T) {
	t.Parallel()
	s, cfg := kept(t)
	read := awsauth.WebhookSecrets(cfg, arn)
	for _, want := range [][]string{nil, {"whsec_a"}, {"whsec_b", "whsec_a"}} {
		if len(want) > 0 {
			s.Put(arn, want[0])
		}
		if got, err := read(context.Background()); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
}

func TestDeniedSecretIsAnErrorWithoutValue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		cfg  func(s *awstest.SecretsManager, cfg aws.Config) aws.Config
		want string
	}{
		{"denied", func(s *awstest.SecretsManager, cfg aws.Config) aws.Config {
			s.Deny(arn)
			return cfg
		}, "AccessDeniedException"},
		{"signed by a stranger", func(s *awstest.SecretsManager, _ aws.Config) aws.Config {
			cfg := awstest.NewAccount().Config()
			cfg.BaseEndpoint = &s.URL
			return cfg
		}, "InvalidSignatureException"},
		{"signed for another region", func(_ *awstest.SecretsManager, cfg aws.Config) aws.Config {
			cfg.Region = "us-east-1"
			return cfg
		}, "InvalidSignatureException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, cfg := kept(t, "whsec_a")
			cfg = test.cfg(s, cfg)
			got, err := awsauth.WebhookSecrets(cfg, arn)(context.Background())
			if err == nil || got != nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "whsec_") {
				t.Errorf("expected the error %s without secrets, got %v, %v", test.want, got, err)
			}
			if user, password, err := awsauth.Login(context.Background(), cfg, arn); err == nil || user+password != "" || !strings.Contains(err.Error(), test.want) {
				t.Errorf("expected the login to fail with %s, got %v", test.want, err)
			}
		})
	}
}

// A service that does not respond costs a delivery a few seconds, not the whole time of a request.
func TestUnresponsiveSecretsManagerTimesOut(t *testing.T) {
	t.Parallel()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	t.Cleanup(func() { _ = listener.Close() })
	cfg, url := awstest.NewAccount().Config(), "http://"+listener.Addr().String()
	cfg.BaseEndpoint = &url
	begun := time.Now()
	if got, err := awsauth.WebhookSecrets(cfg, arn)(context.Background()); err == nil {
		t.Errorf("expected an error, got %v", got)
	}
	if took := time.Since(begun); took > 6*time.Second {
		t.Errorf("expected an error within 6 s, it took %s", took)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	_, cfg := kept(t, `{"username":"admin","password":"old"}`, `{"username":"admin","password":"p\"ss:/@?","engine":"mysql","port":3306}`)
	user, password, err := awsauth.Login(context.Background(), cfg, arn)
	if err != nil || user != "admin" || password != `p"ss:/@?` {
		t.Errorf("Login returned %s, %s, %v, expected the user and the password", user, password, err)
	}
	for _, malformed := range []string{
		"", "hunter2", `"hunter2"`, `{"username":"hunter2"}`, `{"password":"hunter2"}`, `{"username":"admin","password":"hunter2"`,
		`{"username":"admin","password":{"hunter2":1}}`,
	} {
		_, cfg := kept(t, malformed)
		user, password, err := awsauth.Login(context.Background(), cfg, arn)
		if err == nil || user+password != "" || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: Login returned %s, %s, %v, expected an error without the value", malformed, user, password, err)
		}
	}
}
