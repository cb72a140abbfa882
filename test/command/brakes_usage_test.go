package command

import (
	"strings"
	"testing"

	"flashsale/internal/shoptest"
)

func TestRejectsInvalidBrakes(t *testing.T) {
	t.Parallel()
	d := shoptest.NewDesk(t)
	rejects(t, d, []invalid{
		{"product put x --max-per-shopper many", 2, `--max-per-shopper is "many", expected a number, or none`},
		{"product put x --max-per-shopper 0", 2, "--max-per-shopper: expected 1 to"},
		{"product end", 2, "<id>"},
		{"holds --limit 0", 2, "--limit is 0, expected 1 to 1000"},
		{"holds --product UPPER", 2, "--product"},
		{"holds --shopper ada", 2, `--shopper is "ada", expected shopper_ and 26 characters, or anonymous`},
		{"holds --older-than=-1s", 2, "--older-than"},
		{"holds --older-than yesterday", 2, "--older-than"},
		{"holds release", 2, "expected the ids of the holds, or flags that select them"},
		{"holds release --yes", 2, "expected the ids of the holds, or flags that select them"},
		{"holds release ord_01h455vb4pex5vsknk084sn02q", 2, "hold_ and 26 characters"},
		{"holds release hold_01h455vb4pex5vsknk084sn02q --product x", 2, "expected the ids of the holds, or flags that select them, not both"},
		{"orders cancel hold_01h455vb4pex5vsknk084sn02q", 2, "ord_ and 26 characters"},
		{"orders cancel --shopper ada", 2, "--shopper"},
		{"orders frob", 2, "frob"},
		{"shopper block", 2, "expected the shopper's id, or --issuer and --subject"},
		{"shopper block ada", 2, "shopper_ and 26 characters"},
		{"shopper block anonymous", 2, "shopper_ and 26 characters"},
		{"shopper unblock --issuer https://shop.example.com", 2, "expected the shopper's id, or --issuer and --subject"},
	})
	if len(d.Processes()) > 0 {
		t.Error("something was started")
	}
}

// A script whose variable is not set must not select every shopper, every product or another stack.
func TestRejectsEmptyFlags(t *testing.T) {
	t.Parallel()
	d := shoptest.NewDesk(t, "MYSQL_DSN=nobody:secret@tcp(127.0.0.1:1)/none")
	for flag, args := range map[string][]string{
		"--shopper":  {"orders", "cancel", "--product", "tee", "--yes", "--shopper", ""},
		"--product":  {"holds", "release", "--older-than", "30s", "--yes", "--product", ""},
		"--stack":    {"product", "end", "tee", "--stack="},
		"--status":   {"orders", "--status", ""},
		"--since":    {"orders", "list", "--since="},
		"--name":     {"product", "put", "tee", "--name", ""},
		"--provider": {"refunds", "record", "--payment", "pay_1", "--amount", "1", "--note", "n", "--provider", ""},
		"--hold":     {"webhook", "send", "--type", "payment.disputed", "--hold", ""},
		"--outcome":  {"webhook", "send", "--type", "payment.dispute_closed", "--outcome="},
		"<id>":       {"shopper", "block", "", "--issuer", "https://shop.example.com", "--subject", "ada"},
		"<name>":     {"token", ""},
	} {
		want := "flashsale: not understood: " + flag + " is empty, expected a value (see flashsale "
		if code, stdout, stderr := d.Run(t, args...); code != 2 || !strings.HasPrefix(stdout+stderr, want) {
			t.Errorf("flashsale %q: exit %d with %q, expected 2 with %q", args, code, stdout+stderr, want)
		}
	}
}
