package command

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

// In a directory without a shop a command says so. It makes no new shop.
func TestCommandsNeedAShop(t *testing.T) {
	t.Parallel()
	d := shoptest.NewDesk(t)
	for _, args := range []string{
		"product list", "product get demo", "product put demo --stock 5", "product end demo", "product hide demo", "audit", "holds", "holds release --product demo", "orders",
		"order ord_01h455vb4pex5vsknk084sn02q", "refunds", "events --stored", "unmatched", "shopper list",
		"webhook listen --forward-to http://127.0.0.1:3000", "buy demo",
	} {
		code, stdout, stderr := d.Run(t, strings.Fields(args)...)
		if code != 3 || stdout != "" || !strings.HasPrefix(stderr, "flashsale: no shop in "+d.Dir+": run `flashsale run` there first") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, expected 3 and one line about the missing shop, got %s%s", args, code, stdout, stderr)
		}
	}
	if code, stdout, _ := d.Run(t, "clean"); code != 0 || stdout != "There is nothing to delete in this directory.\n" {
		t.Errorf("clean: exit %d, expected 0 and that there is nothing, got %s", code, stdout)
	}
	if files := shoptest.Must(os.ReadDir(d.Dir))(t); len(files) > 0 {
		t.Errorf("the commands made %v, expected nothing", files)
	}
}

// A command finds the shop of the directories above it. A new product may be the first of a new shop.
func TestShopIsFoundFromBelow(t *testing.T) {
	t.Parallel()
	d := shoptest.NewDesk(t)
	below := d
	below.Dir = filepath.Join(d.Dir, "pages", "assets")
	if err := os.MkdirAll(filepath.Join(below.Dir, ".local"), 0o750); err != nil { // without a shop, as ~/.local
		t.Fatal(err)
	}
	if code, stdout, stderr := d.Run(t, "product", "put", "lamp", "--name", "Lamp", "--price", "1", "--currency", "USD", "--stock", "1"); code != 0 {
		t.Fatalf("product put: exit %d, expected 0, got %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := below.Run(t, "product", "list"); code != 0 || !strings.Contains(stdout, "lamp") {
		t.Errorf("product list below the shop: exit %d, expected 0 and the lamp, got %s%s", code, stdout, stderr)
	}
	if code, _, stderr := below.Run(t, "clean"); code != 1 || !strings.Contains(stderr, "the shop is above this directory") {
		t.Errorf("clean below the shop: exit %d, expected 1 and the shop's directory, got %s", code, stderr)
	}
	if files := shoptest.Must(os.ReadDir(filepath.Join(below.Dir, ".local")))(t); len(files) > 0 {
		t.Errorf("the command made %v below the shop, expected nothing", files)
	}
}

// A refused signature says where its secret came from, and a type that the server does not know needs a flag.
func TestWebhookSendExplains(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 2, shoptest.Options{})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	buy := []string{"buy", s.ProductID, "--url", s.URL}
	paid := []string{"webhook", "send", "--url", s.URL, "--type", "payment.succeeded", "--order", checkout.ID{1}.OrderID(), "--amount", "1", "--currency", "USD"}
	d := shoptest.NewDesk(t)
	if code, stdout, stderr := d.Run(t, buy...); code != 3 || stdout != "" || !strings.Contains(stderr, "no shop in ") || len(shoptest.Must(os.ReadDir(d.Dir))(t)) > 0 {
		t.Errorf("buy in an empty directory: exit %d, expected 3, no request and no new secret, got %s%s", code, stdout, stderr)
	}
	secret := filepath.Join(d.Dir, ".local", "webhook-secret")
	if err := os.MkdirAll(filepath.Dir(secret), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret, []byte(shoptest.Secret("retired")), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := d.Run(t, paid...); code != 1 || !strings.Contains(stdout, "signature_invalid") || !strings.Contains(stderr, "signed with the secret in "+secret) {
		t.Errorf("another directory's secret: exit %d, expected 1 and the secret's file, got %s%s", code, stdout, stderr)
	}
	const unpaid = "flashsale: signature_invalid: The signature does not match the body. The order stays unpaid: the event was signed with the "
	if code, _, stderr := d.Run(t, buy...); code != 1 || !strings.HasPrefix(stderr, unpaid+"secret in "+secret+": run this command in the directory of the server") {
		t.Errorf("buy with another directory's secret: exit %d, expected 1 and the secret's file, got %s", code, stderr)
	}
	d.Env = append(slices.Clone(d.Env), "WEBHOOK_SECRETS="+shoptest.Secret("retired"))
	if code, _, stderr := d.Run(t, buy...); code != 1 || !strings.HasPrefix(stderr, unpaid+"first of WEBHOOK_SECRETS") {
		t.Errorf("buy with another WEBHOOK_SECRETS: exit %d, expected 1 and the variable, got %s", code, stderr)
	}
	if code, _, stderr := d.Run(t, paid...); code != 1 || !strings.Contains(stderr, "signed with the first of WEBHOOK_SECRETS") {
		t.Errorf("another WEBHOOK_SECRETS: exit %d, expected 1 and the variable, got %s", code, stderr)
	}
	d.Env = append(d.Env, "WEBHOOK_SECRETS="+shoptest.Secret("new"))
	if code, stdout, stderr := d.Run(t, "webhook", "send", "--url", s.URL, "--type", "invoice.paid", "--any-type"); code != 0 || !strings.Contains(stdout, "ignored") {
		t.Errorf("--any-type: exit %d, expected 0 and ignored, got %s%s", code, stdout, stderr)
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	d := shoptest.NewDesk(t)
	if code, stdout, stderr := d.Run(t, "help", "product", "put"); code != 0 || !strings.HasPrefix(stdout, "Usage: flashsale product put") || stderr != "" {
		t.Errorf("help product put: exit %d, expected 0 and its help, got %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := d.Run(t, "version"); code != 0 || !strings.HasPrefix(stdout, "flashsale ") || !strings.Contains(stdout, ", go1.") || stderr != "" {
		t.Errorf("version: exit %d, expected 0 and the versions, got %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := d.Run(t, "run", "--help"); code != 0 || !strings.Contains(stdout, "HOLD_TTL                2m ") {
		t.Errorf("run --help: exit %d, expected 0 and the variables with their defaults, got %s", code, stdout)
	}
}
