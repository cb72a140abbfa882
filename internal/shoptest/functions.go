package shoptest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/go-sql-driver/mysql"
	"go.yaml.in/yaml/v3"

	"flashsale/internal/lambdaemu"
	"flashsale/internal/ledgertest"
	"flashsale/pkg/ledger"
	"flashsale/pkg/signin"
)

// FunctionNames are the Lambda functions, by the names of their folders.
var FunctionNames = []string{"products", "holds", "orders", "webhook", "expire", "admin"}

// Concurrency is the upper bound of a function's processes.
const Concurrency = 16

// Processes of functions that serve several requests at once.
const (
	ManagedProcesses   = 2  // of each function
	ManagedConcurrency = 40 // requests of each at a time
)

// Cloud is a deployed checkout without AWS: its functions behind a gateway, and the schedule.
type Cloud struct {
	Pools map[string]*lambdaemu.Pool // by function

	gateway *httptest.Server
}

// Output returns the logs of all functions. It is complete after the Shop has stopped.
func (c *Cloud) Output() string {
	var all strings.Builder
	for _, p := range c.Pools {
		all.WriteString(p.Output())
	}
	return all.String()
}

// deploy starts the functions and their schedule.
func (s *Shop) deploy(t testing.TB, o Options) {
	t.Helper()
	pool := processPerEvent
	if o.Managed {
		pool = managedProcesses
	}
	s.deployPools(t, func(function string) *lambdaemu.Pool { return pool(t, function, FunctionEnv(s, o)) })
	ticking, cancel := context.WithCancel(context.Background())
	var schedule sync.WaitGroup
	schedule.Go(func() { s.Cloud.tick(ticking, t) })
	stop := s.Stop
	s.Stop = sync.OnceFunc(func() {
		cancel()
		schedule.Wait()
		stop()
	})
}

// Deploy starts the functions behind a gateway, without their schedule. env are the variables of each function.
func (s *Shop) Deploy(t testing.TB, env func(function string) []string) {
	t.Helper()
	s.deployPools(t, func(function string) *lambdaemu.Pool { return processPerEvent(t, function, env(function)) })
}

func processPerEvent(t testing.TB, function string, env []string) *lambdaemu.Pool {
	t.Helper()
	return lambdaemu.NewPool(Function(t, function), Concurrency, env...)
}

// managedProcesses serve several requests at once, with the race detector if the test has it. The functions without a route do not.
func managedProcesses(t testing.TB, function string, env []string) *lambdaemu.Pool {
	t.Helper()
	if function == "expire" || function == "admin" {
		return processPerEvent(t, function, env)
	}
	return lambdaemu.NewManagedPool(racingFunction(t, function), ManagedProcesses, ManagedConcurrency, env...)
}

func (s *Shop) deployPools(t testing.TB, pool func(function string) *lambdaemu.Pool) {
	t.Helper()
	c := &Cloud{Pools: map[string]*lambdaemu.Pool{}}
	for _, name := range FunctionNames {
		c.Pools[name] = pool(name)
	}
	gateway := &lambdaemu.Gateway{}
	for pattern, name := range routes(t) {
		var authorize lambdaemu.Authorizer
		if s.required && (name == "holds" || name == "orders") {
			authorize = s.authorize
		}
		gateway.Route(pattern, c.Pools[name], authorize)
	}
	c.gateway = httptest.NewServer(gateway)
	s.Cloud, s.URL = c, c.gateway.URL
	s.Stop = sync.OnceFunc(func() {
		s.Client.CloseIdleConnections()
		c.gateway.Close()
		for _, p := range c.Pools {
			p.Stop()
		}
		checkRaces(t, c.Output())
	})
	t.Cleanup(s.Stop)
}

// checkRaces fails the test if the race detector has reported on a function.
func checkRaces(t testing.TB, output string) {
	t.Helper()
	if strings.Contains(output, "WARNING: DATA RACE") {
		t.Errorf("a function has a data race:\n%s", output)
	}
}

// routes maps each operation of docs/openapi.yaml to its function. A test compares it with the template.
func routes(t testing.TB) map[string]string {
	t.Helper()
	var contract struct {
		Servers []struct{ URL string }
		Paths   map[string]map[string]any
	}
	text := Must(os.ReadFile(filepath.Join(ledgertest.Root(t), "docs", "openapi.yaml")))(t)
	if err := yaml.Unmarshal(text, &contract); err != nil {
		t.Fatalf("reading docs/openapi.yaml: %v", err)
	}
	found := map[string]string{}
	for path, operations := range contract.Paths {
		function := strings.Split(path, "/")[1]
		if function == "payments" {
			function = "webhook"
		}
		for method := range operations {
			found[strings.ToUpper(method)+" "+contract.Servers[0].URL+path] = function
		}
	}
	return found
}

// tick plays the schedule, with minutes of seven seconds.
func (c *Cloud) tick(ctx context.Context, t testing.TB) {
	for ctx.Err() == nil {
		event := map[string]string{"source": "aws.scheduler"}
		if _, err := c.Pools["expire"].Invoke(ctx, event, 7*time.Second); err != nil && ctx.Err() == nil {
			t.Logf("the schedule's function: %v", err)
		}
	}
}

// FunctionEnv are the variables of a Shop's functions.
func FunctionEnv(s *Shop, o Options) []string {
	env := []string{
		"MYSQL_DSN=" + s.AdminDSN, "CACHE_ADDR=" + o.CacheAddr, "LOG_LEVEL=debug", "METRICS_NAMESPACE=flashsale-test",
		"HOLD_TTL=" + o.HoldTTL.String(), "PAYMENT_WINDOW=" + o.PaymentWindow.String(),
		"WEBHOOK_SECRETS=" + Secret("new") + "," + Secret("old"), "STRIPE_WEBHOOK_SECRETS=" + StripeSecret,
	}
	if o.SignIn {
		env = append(env, "JWT_ISSUER="+signin.DevelopmentIssuer, "JWT_AUDIENCE="+signin.DevelopmentAudience)
	}
	return env
}

// StartFunction starts one process of a function.
func (s *Shop) StartFunction(t testing.TB, name string, o Options) *lambdaemu.Function {
	t.Helper()
	binary, env := Function(t, name), FunctionEnv(s, o)
	if o.Managed {
		binary, env = racingFunction(t, name), append(env, "AWS_LAMBDA_MAX_CONCURRENCY="+strconv.Itoa(ManagedConcurrency))
	}
	f := Must(lambdaemu.Start(context.Background(), binary, env...))(t)
	t.Cleanup(func() {
		f.Stop()
		checkRaces(t, f.Output())
	})
	return f
}

// Invoke sends a POST request to a process of a function.
func Invoke(t testing.TB, f *lambdaemu.Function, path, body string, timeout time.Duration) (Response, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	text, err := f.Invoke(context.Background(), Must(lambdaemu.Event(r))(t), timeout)
	if err != nil {
		return Response{}, err
	}
	var response events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(text, &response); err != nil {
		return Response{}, err
	}
	header := http.Header{}
	for name, value := range response.Headers {
		header.Set(name, value)
	}
	return Response{Status: response.StatusCode, Header: header, Body: strings.TrimSpace(response.Body)}, nil
}

// InvokeHold asks a process of the function holds for a unit.
func (s *Shop) InvokeHold(t testing.TB, f *lambdaemu.Function) Response {
	t.Helper()
	r, err := Invoke(t, f, "/v1/holds", s.HoldBody(1), 10*time.Second)
	if err != nil {
		t.Errorf("the function holds: %v", err)
	}
	return r
}

// LockProduct keeps the product's row locked until unlock. Nothing in the project locks it that long.
func (s *Shop) LockProduct(t testing.TB) (unlock func()) {
	t.Helper()
	tx := Must(s.Admin.BeginTx(context.Background(), nil))(t)
	if _, err := tx.ExecContext(context.Background(), "SELECT id FROM products WHERE id = ? FOR UPDATE", s.ProductID); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
			t.Errorf("unlocking the product: %v", err)
		}
	}
}

// AppUser is the name of the application's database user.
func (s *Shop) AppUser(t testing.TB) string {
	t.Helper()
	return Must(mysql.ParseDSN(Must(ledger.AccountsOf(s.AdminDSN))(t).DSN(ledger.RoleApp)))(t).User
}
