package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"flashsale/internal/devstack"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

const (
	fullStock = 1_000_000_000 // never runs short
	unitPrice = 4999
)

// site is a migrated schema of its own and, for some experiments, a server that works on it.
type site struct {
	*trial
	admin            *sql.DB
	adminDSN, appDSN string
	users            []string
	ledger           *ledger.Ledger // as the application's user
	prefix           string         // the n-th product's id is prefix + n: no cache has an entry for it
	products         int
	onSale           string  // the first product, with stock for everybody
	addr, secret     string  // of the server: host:port, and the secret that signs its webhooks
	pids             []int32 // the measured processes
}

// onSchema returns a case that runs do on a new schema and drops it afterwards.
func (t *trial) onSchema(do func(ctx context.Context, s *site) error) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		cfg, err := mysql.ParseDSN(t.dsn)
		if err != nil {
			return fmt.Errorf("reading the DSN: %w", err)
		}
		name := strings.ToLower(rand.Text()[:12])
		cfg.DBName = "bench_" + name
		s := &site{
			trial: t, adminDSN: cfg.FormatDSN(), prefix: "bench-" + name + "-",
			pids: []int32{listener(ctx, cfg.Addr), listener(ctx, t.options.CacheAddr)},
		}
		accounts, err := ledger.AccountsOf(s.adminDSN)
		if err != nil {
			return err
		}
		s.users = accounts.Users()
		s.appDSN = accounts.DSN(ledger.RoleApp)
		if s.ledger, err = ledger.Open(s.appDSN, nothing{}); err != nil {
			return err
		}
		if s.admin, err = connect(s.adminDSN, 4); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.drop(cfg.DBName)) }()
		if err := ledger.Migrate(ctx, s.adminDSN); err != nil {
			return err
		}
		if s.onSale, err = s.product(ctx, fullStock); err != nil {
			return err
		}
		return do(ctx, s)
	}
}

func (s *site) drop(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // also after Ctrl-C
	defer cancel()
	failed := s.ledger.Close()
	_, err := s.admin.ExecContext(ctx, "DROP DATABASE IF EXISTS "+name)
	failed = errors.Join(failed, err)
	for _, user := range s.users {
		_, err := s.admin.ExecContext(ctx, "DROP USER IF EXISTS "+user+"@'%'")
		failed = errors.Join(failed, err)
	}
	return errors.Join(failed, s.admin.Close())
}

// onServer runs do on a `flashsale run` with a new schema and no configuration but its defaults.
func (t *trial) onServer(ctx context.Context, do func(ctx context.Context, s *site) error) error {
	return t.onProgram(ctx, t.options.Flashsale, do)
}

// onProgram is onServer for another flashsale command.
func (t *trial) onProgram(ctx context.Context, program string, do func(ctx context.Context, s *site) error) error {
	return t.onSchema(func(ctx context.Context, s *site) error {
		s.secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(rand.Text()))
		port, err1 := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0") // a free one
		log, err2 := os.Create(filepath.Join(t.options.Out, "server.log"))
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		s.addr = port.Addr().String()
		running, stop := context.WithCancel(ctx)
		defer stop()
		server := exec.CommandContext(running, program, "run")
		server.Env = []string{"PATH=" + os.Getenv("PATH"), "ADDR=" + s.addr, "MYSQL_DSN=" + s.adminDSN, "CACHE_ADDR=" + t.options.CacheAddr, "WEBHOOK_SECRETS=" + s.secret}
		server.Stdout, server.Stderr = log, log
		server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
		server.WaitDelay = time.Minute
		server.SysProcAttr = &syscall.SysProcAttr{}
		devstack.DieWithParent(server.SysProcAttr, syscall.SIGTERM) // if this process dies, the kernel stops the server
		if err := errors.Join(port.Close(), server.Start(), log.Close()); err != nil {
			return fmt.Errorf("starting the server: %w", err)
		}
		s.pids = append(s.pids, int32(server.Process.Pid)) //nolint:gosec // G115: Linux's pids fit
		err := s.waitHealthy(ctx)
		if err == nil {
			err = do(ctx, s)
		}
		stop()
		if ended := server.Wait(); !server.ProcessState.Success() {
			err = errors.Join(err, fmt.Errorf("the server ended with %w, see %s", ended, log.Name()))
		}
		return err
	})(ctx)
}

func (s *site) waitHealthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for get := s.client(1); get(http.StatusOK, http.MethodGet, "/healthz", nil, nil) != nil; {
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for the server, see server.log: %w", err)
		}
	}
	return nil
}

// call sends one request and expects a status.
type call func(want int, method, path string, body []byte, headers http.Header) error

// client calls the server. net/http's client would use as much CPU as the server does; this one uses a third.
func (s *site) client(connections int) call {
	client := &fasthttp.HostClient{Addr: s.addr, MaxConns: connections}
	return func(want int, method, path string, body []byte, headers http.Header) error {
		request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		defer fasthttp.ReleaseRequest(request)
		defer fasthttp.ReleaseResponse(response)
		request.SetRequestURI("http://" + s.addr + path)
		request.Header.SetMethod(method)
		request.Header.SetContentType("application/json")
		for name := range headers {
			request.Header.Set(name, headers.Get(name))
		}
		request.SetBodyRaw(body)
		if err := client.DoTimeout(request, response, 10*time.Second); err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		if got := response.StatusCode(); got != want {
			return fmt.Errorf("%s %s: status %d, expected %d: %s", method, path, got, want, response.Body())
		}
		return nil
	}
}

// statements returns how many statements clients have sent to the database server.
func (s *site) statements(ctx context.Context) (n float64, err error) {
	var name string
	if err = s.admin.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Questions'").Scan(&name, &n); err != nil {
		err = fmt.Errorf("counting the statements: %w", err)
	}
	return n, err
}

// connect opens a pool as the ledger configures its connections, but with the servers' own patience for locks.
func connect(dsn string, connections int) (*sql.DB, error) {
	cfg, err := ledger.Config(dsn)
	if err != nil {
		return nil, err
	}
	cfg.ReadTimeout = 5 * time.Minute
	cfg.Params["innodb_lock_wait_timeout"] = "50"
	db, err := sql.Open("mysql", cfg.FormatDSN())
	if err != nil {
		return nil, fmt.Errorf("preparing the database connection: %w", err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// product puts another product on sale.
func (s *site) product(ctx context.Context, stock int64) (string, error) {
	id, name, maxQty := s.productID(s.products), "Benchmark", int64(100)
	s.products++
	_, _, err := s.ledger.PutProduct(ctx, checkout.ProductChange{ID: id, Name: &name, Price: price(), Stock: &stock, MaxQtyPerHold: &maxQty})
	return id, err
}

func (s *site) productID(n int) string { return s.prefix + strconv.Itoa(n) }

func price() *checkout.Money { return &checkout.Money{Amount: unitPrice, Currency: "USD"} }

// place returns a call that places a hold of one unit without the server.
func (s *site) place(l *ledger.Ledger) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := l.PlaceHold(ctx, checkout.HoldRequest{ID: newID(), ProductID: s.onSale, Qty: 1, TTL: 2 * time.Minute, Price: price()})
		return err
	}
}

// mustBeClean fails when the audit finds a broken invariant: the figures would be worthless.
func (s *site) mustBeClean(ctx context.Context) error {
	audit, err := s.ledger.Audit(ctx)
	if err == nil && !audit.Clean {
		err = fmt.Errorf("the audit is not clean: %v", audit.Broken)
	}
	return err
}

// nothing is a checkout.Recorder.
type nothing struct{}

func (nothing) Record(*checkout.Metric, float64, ...string) {}

func newID() checkout.ID { return checkout.ID(uuid.Must(uuid.NewV7())) }
