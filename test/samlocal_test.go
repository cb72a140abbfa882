package test

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

// TestSAMLocal buys through `sam local start-api`: the functions that `sam build` built, in containers, behind SAM's emulation
// of the API in template.yaml. It needs Docker and a minute, so only `make sam-local-test` runs it.
func TestSAMLocal(t *testing.T) {
	if os.Getenv("SAM_LOCAL_TEST") == "" {
		t.Skip("`make sam-local-test` runs this")
	}
	cacheAddr := os.Getenv("CACHE_ADDR")
	if cacheAddr == "" {
		cacheAddr = ledgertest.Servers(t).CacheAddr()
	}
	s := open(t, 10, options{cacheAddr: cacheAddr}) // its own server sweeps beside the functions
	addr := freeAddr(t)
	stop := samLocal(t, "ADDR="+addr, "MYSQL_DSN="+s.AdminDSN, "CACHE_ADDR="+cacheAddr,
		"WEBHOOK_SECRETS="+secret("new")+","+secret("old"), "STRIPE_WEBHOOK_SECRETS=whsec_stripe_secret")
	s.url = "http://" + addr
	s.purchase(t)
	s.stripeEvents(t) // a signature with commas, at which the API's adapter would split the header
	s.MustAudit(t)
	stop()
	if a, err := s.try(http.MethodGet, "/v1/products", "", nil); err == nil {
		t.Errorf("expected sam local to have ended, got the response %+v", a)
	}
}

// purchase reads the product, holds, orders and pays, each step twice.
func (s *shop) purchase(t *testing.T) {
	t.Helper()
	page := s.do(t, http.MethodGet, "/v1/products/"+s.product, "", nil)
	if page.status != http.StatusOK || page.text("id") != s.product {
		t.Fatalf("the product: %+v", page)
	}
	etag := http.Header{"If-None-Match": {`"another", ` + page.header.Get("ETag")}}
	if a := s.do(t, http.MethodGet, "/v1/products/"+s.product, "", etag); a.status != http.StatusNotModified {
		t.Errorf("the product, unchanged: %+v", a)
	}
	key := "key-" + uuid.NewString()
	hold := s.hold(t, 2, key)
	if hold.status != http.StatusCreated {
		t.Fatalf("the hold: %+v", hold)
	}
	again := s.hold(t, 2, key)
	if again.status != http.StatusOK || again.text("id") != hold.text("id") || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the hold, again: %+v", again)
	}
	mustProblem(t, s.hold(t, 3, key), http.StatusUnprocessableEntity, "idempotency_key_reused")
	id, _ := checkout.ParseHoldID(hold.text("id"))
	for _, want := range []int{http.StatusCreated, http.StatusOK} {
		if a := s.order(t, id); a.status != want || a.text("status") != "pending_payment" {
			t.Errorf("the order: %+v, want %d", a, want)
		}
	}
	body := s.event("payment.succeeded", id, 2)
	event := "evt_" + uuid.NewString()
	for _, want := range []string{"applied", "duplicate"} {
		if a := s.deliver(t, event, body); a.status != http.StatusOK || a.text("result") != want || a.text("order_status") != "paid" {
			t.Errorf("the payment: %+v, want %s", a, want)
		}
	}
	forged := s.retired.Sign(event, time.Now(), body)
	mustProblem(t, s.do(t, http.MethodPost, "/v1/payments/webhook", string(body), forged), http.StatusUnauthorized, "signature_invalid")
	if a := s.do(t, http.MethodGet, "/v1/orders/"+id.OrderID(), "", nil); a.text("status") != "paid" {
		t.Errorf("the order, paid: %+v", a)
	}
	if p := s.stock(t); p.SoldStock != 2 || p.ReservedStock != 0 {
		t.Errorf("the stock: %+v, want 2 sold", p)
	}
}

// samLocal runs tools/sam-local.sh until stop. Without Docker it skips the test.
func samLocal(t *testing.T, env ...string) (stop func()) {
	t.Helper()
	const (
		limit     = 10 * time.Minute // to install Docker and SAM CLI, build the functions and an image
		noDocker  = 75               // the script's exit status then
		lastWords = "Ctrl-C stops all of it."
	)
	log := must(os.Create(filepath.Join(t.TempDir(), "sam-local.log")))(t)
	script := exec.Command("../tools/sam-local.sh")
	script.Env = append(os.Environ(), env...)
	script.Stdout, script.Stderr = log, log
	script.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // Pdeathsig applies to this thread
		defer runtime.UnlockOSThread()
		err := script.Start()
		started <- err
		if err == nil {
			ended <- script.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = script.Process.Signal(syscall.SIGTERM)
		t.Logf("sam local ended: %v", <-ended)
	})
	said := func() string { return string(must(os.ReadFile(log.Name()))(t)) }
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Log(said())
		}
		_ = log.Close()
	})
	for deadline := time.Now().Add(limit); !strings.Contains(said(), lastWords); time.Sleep(100 * time.Millisecond) {
		select {
		case err := <-ended:
			ended <- err // for stop
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == noDocker {
				lines := strings.Split(strings.TrimSpace(said()), "\n")
				t.Skip(lines[len(lines)-1])
			}
			t.Fatalf("sam local ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("sam local did not start within 10 minutes")
		}
	}
	return stop
}
