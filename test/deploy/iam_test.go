package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"

	"flashsale/internal/awstest"
	"flashsale/internal/lambdaemu"
	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/internal/template"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/payments"
)

const (
	standardARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:WebhookSecret-AbCdEf"
	stripeARN   = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:StripeWebhookSecret-AbCdEf"

	administratorARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!cluster-AbCdEf"
)

// fronts are the AWS services in front of a shop's database, cache and secrets.
type fronts struct {
	authority *awstest.Authority
	account   *awstest.Account
	proxies   map[string]*awstest.RDSProxy // by function: each lets in only that function's user
	cache     *awstest.ElastiCache
	secrets   *awstest.SecretsManager
	databases map[string]*mysql.Config // by function, with that user
	cacheName string
}

func newFronts(t *testing.T, s *shoptest.Shop, o shoptest.Options) fronts {
	t.Helper()
	f := fronts{
		authority: shoptest.Must(awstest.NewAuthority(t.TempDir()))(t), account: awstest.NewAccount(), cacheName: "flashsale-vpc-" + uuid.NewString(),
		proxies: map[string]*awstest.RDSProxy{}, databases: map[string]*mysql.Config{},
	}
	accounts := shoptest.Must(ledger.AccountsOf(s.AdminDSN))(t)
	for _, function := range shoptest.FunctionNames {
		dsn := accounts.DSN(ledger.Role(function))
		f.databases[function] = shoptest.Must(mysql.ParseDSN(dsn))(t)
		f.proxies[function] = awstest.StartRDSProxy(t, awstest.RDSProxyOptions{Account: f.account, Authority: f.authority, Database: dsn})
	}
	user := template.At(checkoutTemplate(t).OfType(t, "AWS::ElastiCache::User")["CacheUser"], "Properties")
	if template.At(user, "UserId", "Fn::Sub") != template.At(user, "UserName", "Fn::Sub") {
		t.Error("the cache user's id and name differ, which IAM does not allow")
	}
	f.cache = awstest.StartElastiCache(t, awstest.ElastiCacheOptions{
		Account: f.account, Authority: f.authority, Cache: o.CacheAddr, Name: f.cacheName, User: f.cacheName, Access: template.At(user, "AccessString").(string),
	})
	f.secrets = awstest.StartSecretsManager(t, f.account, f.authority)
	f.secrets.Put(standardARN, shoptest.Secret("old"))
	f.secrets.Put(standardARN, shoptest.Secret("new"))
	return f
}

// env is the environment of a function in AWS: exactly the variables that template.yaml sets, those that Lambda adds,
// and the addresses of the authority and of Secrets Manager.
func (f fronts) env(t *testing.T, name string) []string {
	t.Helper()
	host, port, err := net.SplitHostPort(f.proxies[name].Addr)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{ // replace the template's references to resources and parameters, and its ports and names
		"DB_HOST": host, "DB_PORT": port, "DB_NAME": f.databases[name].DBName, "CACHE_ADDR": f.cache.Addr,
		"CACHE_NAME": f.cacheName, "CACHE_USER": f.cacheName, "WEBHOOK_SECRET_ARN": standardARN, "STRIPE_WEBHOOK_SECRET_ARN": stripeARN,
		"DB_ADMIN_HOST": "cluster.invalid", "DB_ADMIN_SECRET_ARN": administratorARN,
		"HOLD_TTL": "2m", "PAYMENT_WINDOW": "15m", "ORDER_LIMIT": "", "EDGE_SECRET": "", "JWT_ISSUER": "", "JWT_AUDIENCE": "", "RETENTION": "720h", "LOG_LEVEL": "debug", "METRICS_NAMESPACE": "flashsale-test", "STRIPE_LIVEMODE": "true", "STRIPE_ACCOUNT": "",
	}
	own, _ := template.At(checkoutTemplate(t).Functions(t)[name], "Environment", "Variables").(object)
	var env []string
	for _, variables := range []object{checkoutTemplate(t).Global("Environment", "Variables").(object), own} {
		for variable, value := range variables {
			text, literal := value.(string)
			if variable == "DB_USER" { // the template's, in the test's own database
				text = strings.Replace(text, "flashsale", f.databases[name].DBName, 1)
			} else if v, ok := values[variable]; ok {
				text = v
			} else if !literal {
				t.Errorf("no value for %s", variable)
			}
			env = append(env, variable+"="+text)
		}
	}
	env = append(env, f.account.Env()...)
	return slices.Clip(append(env, "SSL_CERT_FILE="+f.authority.File, "AWS_ENDPOINT_URL_SECRETS_MANAGER="+f.secrets.URL))
}

// The functions as in AWS, with IAM and TLS to the database, the cache and the secrets: a purchase, a sweep, an audit
// and a rotation. No database connection is pinned, and no log has a secret.
func TestFunctionsSignInWithIAM(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{})
	s := shoptest.New(t, 10, o)
	f := newFronts(t, s, o)
	s.Deploy(t, func(function string) []string {
		env := f.env(t, function)
		if function == "orders" { // without DB_USER a function signs in as its role's user
			env = slices.DeleteFunc(env, func(variable string) bool { return strings.HasPrefix(variable, "DB_USER=") })
		}
		return env
	})

	for _, visit := range []string{"first", "second"} {
		begun := time.Now()
		if a := s.Do(t, http.MethodGet, "/v1/products/"+s.ProductID, "", nil); a.Status != http.StatusOK {
			t.Fatalf("the product is %+v, expected 200", a)
		}
		t.Logf("the %s visit of the product took %s", visit, time.Since(begun).Round(time.Millisecond))
	}
	s.Purchase(t)
	rotate(t, s, f.secrets)
	shoptest.CheckProblem(t, s.Do(t, http.MethodPost, "/v1/payments/webhook/stripe", "{}", nil), http.StatusNotFound, "not_found") // no secret is set up

	due := ledgertest.NewID()
	shoptest.Must(s.PlaceHold(t.Context(), checkout.HoldRequest{ID: due, ProductID: s.ProductID, Qty: 3, TTL: time.Millisecond}))(t)
	shoptest.Must(s.Cloud.Pools["expire"].Invoke(t.Context(), map[string]string{"source": "aws.scheduler"}, 5*time.Second))(t)
	var status string
	if err := s.Admin.QueryRowContext(t.Context(), "SELECT status FROM holds WHERE id = ?", due[:]).Scan(&status); err != nil || status != "expired" {
		t.Errorf("the hold that was due is %s, %v", status, err)
	}
	for _, operation := range []string{"audit", "list_products", "list_owed_payments", "list_orders"} {
		got, err := s.Cloud.Pools["admin"].Invoke(t.Context(), map[string]string{"operation": operation}, adminTimeout)
		if err != nil || strings.Contains(string(got), `"error"`) {
			t.Errorf("%s: got %s, %v, expected a result", operation, got, err)
		}
	}
	s.MustAudit(t)
	f.mustBeClean(t, s)
}

// rotate sets a webhook secret that the functions have not seen. They accept it within two seconds, and still accept
// the previous one, but not the one before that.
func rotate(t *testing.T, s *shoptest.Shop, secrets *awstest.SecretsManager) {
	t.Helper()
	pay := func(signer *payments.Standard) shoptest.Response {
		body := s.Event("payment.succeeded", s.MustOrder(t, 1), 1)
		return s.Do(t, http.MethodPost, "/v1/payments/webhook", string(body), signer.Sign("evt_"+uuid.NewString(), time.Now(), body))
	}
	if a := pay(s.OldSigner); a.Text("result") != "applied" {
		t.Errorf("the previous secret: %+v", a)
	}
	secrets.Put(standardARN, shoptest.Secret("newest"))
	newest := shoptest.Must(payments.NewStandard([]string{shoptest.Secret("newest")}))(t)
	body := s.Event("payment.succeeded", s.MustOrder(t, 1), 1)
	header := newest.Sign("evt_"+uuid.NewString(), time.Now(), body)
	begun := time.Now()
	for {
		a := s.Do(t, http.MethodPost, "/v1/payments/webhook", string(body), header)
		if a.Text("result") == "applied" {
			break
		}
		shoptest.CheckProblem(t, a, http.StatusUnauthorized, "signature_invalid")
		if time.Since(begun) > time.Minute {
			t.Fatal("the new secret is not taken")
		}
	}
	t.Logf("a new secret counted after %s and %d reads", time.Since(begun).Round(time.Millisecond), len(secrets.Reads()))
	if a := pay(s.Signer); a.Text("result") != "applied" {
		t.Errorf("the secret before: %+v", a)
	}
	shoptest.CheckProblem(t, pay(s.OldSigner), http.StatusUnauthorized, "signature_invalid")
}

// mustBeClean fails the test if a front refused or pinned something, or if the cache was never used. It also fails it
// if the functions' logs show a secret.
func (f fronts) mustBeClean(t *testing.T, s *shoptest.Shop) {
	t.Helper()
	secrets := append(f.account.Secrets(), "whsec_", shoptest.Secret("new")[6:], shoptest.Secret("old")[6:], shoptest.Secret("newest")[6:])
	for function, proxy := range f.proxies {
		if pins, refusals := proxy.Pins(), proxy.Refusals(); len(pins)+len(refusals) > 0 {
			t.Errorf("%s: pinned: %q, refused: %q", function, pins, refusals)
		}
		commands, connections := proxy.Served()
		t.Logf("%s: %d commands of %d connections over %d of the database", function, commands, len(proxy.Logins()), connections)
		secrets = append(secrets, f.databases[function].Passwd)
	}
	if refusals := slices.Concat(f.cache.Refusals(), f.cache.Denied(t), f.secrets.Refusals()); len(refusals) > 0 {
		t.Errorf("refused: %q", refusals)
	}
	s.Stop() // after it the output is complete
	output := s.Cloud.Output()
	for _, word := range secrets {
		if strings.Contains(output, word) {
			t.Errorf("a log shows %s", word)
		}
	}
	if !strings.Contains(output, `"result":"hit"`) {
		t.Error("the cache was never hit")
	}
	t.Logf("%d connections of the cache", len(f.cache.Logins()))
}

// Without the right to sign in, or with untrusted servers, a function writes the reason to its log only. The webhook's
// response asks the sender to retry.
func TestFunctionThatCannotSignInLogsWhy(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{})
	for _, test := range []struct {
		name  string
		spoil func(f *fronts)
		want  map[string]string // by function, in its log
	}{
		{"credentials of another account", func(f *fronts) {
			f.account = awstest.NewAccount()
		}, map[string]string{"holds": "Error 1045", "webhook": "InvalidSignatureException"}},
		{"an authority that is not trusted", func(f *fronts) {
			f.authority = shoptest.Must(awstest.NewAuthority(t.TempDir()))(t)
		}, map[string]string{"holds": "unknown authority", "webhook": "unknown authority"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := shoptest.New(t, 10, o)
			f := newFronts(t, s, o)
			test.spoil(&f)
			f.mustFail(t, "holds", "/v1/holds", s.HoldBody(1), http.StatusInternalServerError, test.want["holds"])
			event := string(s.Event("payment.succeeded", ledgertest.NewID(), 1))
			f.mustFail(t, "webhook", "/v1/payments/webhook", event, http.StatusServiceUnavailable, test.want["webhook"])
		})
	}
}

func (f fronts) mustFail(t *testing.T, name, path, body string, status int, want string) {
	t.Helper()
	process := shoptest.Must(lambdaemu.Start(context.Background(), shoptest.Function(t, name), f.env(t, name)...))(t)
	a, err := shoptest.Invoke(t, process, path, body, 10*time.Second)
	process.Stop() // after it the output is complete
	if err != nil || a.Status != status || strings.Contains(a.Body, want) {
		t.Errorf("%s: %+v, %v, want %d", name, a, err, status)
	}
	output := process.Output()
	if !strings.Contains(output, want) {
		t.Errorf("%s does not log %s: %s", name, want, output)
	}
	for _, word := range f.account.Secrets() {
		if strings.Contains(output+a.Body, word) {
			t.Errorf("the log or the response of %s shows %s, which is secret", name, word)
		}
	}
}

// The deployment's migration, as far as it can run without Aurora. The administrator's login comes from Secrets
// Manager, and an authority embedded in the function signs the cluster's certificate. The migration fails where it
// needs Aurora's IAM plugin, which no server here has. The test replaces the embedded authority, because only Amazon
// can sign with Amazon's.
func TestAdminMigratesAtTheCluster(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{})
	s := shoptest.New(t, 1, o)
	f := newFronts(t, s, o)
	if _, err := s.Admin.Exec("DROP USER ?@'%'", s.AppUser(t)); err != nil { // as before a first deployment
		t.Fatal(err)
	}
	const password = `p"w'd\\%$with(all)sorts&of#signs`
	cluster := awstest.StartRDSProxy(t, awstest.RDSProxyOptions{
		Authority: f.authority, Database: s.AdminDSN, User: "dbadmin", Password: password,
	})
	f.secrets.Put(administratorARN, string(shoptest.Must(json.Marshal(map[string]string{"username": "dbadmin", "password": password}))(t)))
	host, port, err := net.SplitHostPort(cluster.Addr)
	if err != nil {
		t.Fatal(err)
	}
	env := append(f.env(t, "admin"), "DB_ADMIN_HOST="+host, "DB_PORT="+port) // the last one counts
	process := shoptest.Must(lambdaemu.Start(context.Background(), adminTrusting(t, f.authority), env...))(t)
	result, err := process.Invoke(context.Background(), map[string]string{"operation": "migrate"}, adminTimeout)
	process.Stop() // after it the output is complete
	output := process.Output()
	if err == nil || !strings.Contains(output, "AWSAuthenticationPlugin") || !strings.Contains(output, "1524") {
		t.Errorf("the server was not asked for Aurora's plugin: %s, %v\n%s", result, err, output)
	}
	if n := cluster.Tokens(); n == 0 || len(cluster.Refusals()) > 0 {
		t.Errorf("%d logins and the refusals %q, expected at least one login and no refusal", n, cluster.Refusals())
	}
	for _, word := range append(f.account.Secrets(), password) {
		if strings.Contains(output+fmt.Sprint(err), word) {
			t.Error("a password is shown")
		}
	}
}

// adminTrusting builds the function admin with another authority instead of Amazon's.
func adminTrusting(t *testing.T, authority *awstest.Authority) string {
	t.Helper()
	dir := t.TempDir()
	embedded := shoptest.Must(filepath.Abs("../../pkg/awsauth/rds-ca-rsa2048-g1.pem"))(t)
	overlay := shoptest.Must(json.Marshal(map[string]any{"Replace": map[string]string{embedded: authority.File}}))(t)
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "admin")
	out, err := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, "flashsale/functions/admin").CombinedOutput()
	if err != nil {
		t.Fatalf("building the function: %v: %s", err, out)
	}
	return binary
}
