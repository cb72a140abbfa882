package deploy

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

	"flashsale/internal/devstack"
	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
)

// TestSAMLocal buys through `sam local start-api`, with the output of `sam build` in containers, behind SAM's emulation
// of the API. It needs Docker and a minute, so only `make sam-local-test` runs it.
func TestSAMLocal(t *testing.T) {
	if os.Getenv("SAM_LOCAL_TEST") == "" {
		t.Skip("`make sam-local-test` runs this")
	}
	cacheAddr := os.Getenv("CACHE_ADDR")
	if cacheAddr == "" {
		cacheAddr = ledgertest.Servers(t).CacheAddr()
	}
	s := shoptest.Open(t, 10, shoptest.Options{CacheAddr: cacheAddr}) // its own server sweeps beside the functions
	addr := shoptest.FreeAddr(t)
	stop := samLocal(t, "ADDR="+addr, "MYSQL_DSN="+s.AdminDSN, "CACHE_ADDR="+cacheAddr,
		"WEBHOOK_SECRETS="+shoptest.Secret("new")+","+shoptest.Secret("old"), "STRIPE_WEBHOOK_SECRETS=whsec_stripe_secret")
	s.URL = "http://" + addr
	s.Purchase(t)
	s.DeliverStripeEvents(t) // the signature has commas, at which the API's adapter would split the header
	s.MustAudit(t)
	stop()
	if a, err := s.Try(http.MethodGet, "/v1/products", "", nil); err == nil {
		t.Errorf("sam local still responds: %+v", a)
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
	log := shoptest.Must(os.Create(filepath.Join(t.TempDir(), "sam-local.log")))(t)
	script := exec.Command("../../tools/sam-local.sh")
	script.Env = append(os.Environ(), env...)
	script.Stdout, script.Stderr = log, log
	script.SysProcAttr = &syscall.SysProcAttr{}
	devstack.DieWithParent(script.SysProcAttr, syscall.SIGTERM)
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // Pdeathsig is about this thread
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
	said := func() string { return string(shoptest.Must(os.ReadFile(log.Name()))(t)) }
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
			ended <- err // stop waits for it
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == noDocker {
				lines := strings.Split(strings.TrimSpace(said()), "\n")
				t.Skip(lines[len(lines)-1])
			}
			t.Fatalf("sam local ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("sam local does not come up")
		}
	}
	return stop
}
