package command

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"flashsale/internal/shoptest"
)

// Bash, with the script that the command prints, completes commands, flags and values.
func TestBashCompletes(t *testing.T) {
	t.Parallel()
	d := shoptest.NewDesk(t)
	d.Env = append(d.Env, "PATH="+filepath.Dir(shoptest.Command(t))+":/usr/bin:/bin")
	for line, want := range map[string]string{
		"flashsale pro":                             "product",
		"flashsale product ":                        "put get list end hide show delete",
		"flashsale compl":                           "completion", // complete is for the script only
		"flashsale help webhook l":                  "listen",
		"flashsale --stack dev orders ca":           "cancel",
		"flashsale orders --st":                     "--stack --status",
		"flashsale orders --json --csv --prod":      "--product",
		"flashsale orders --status p":               "pending_payment paid",
		"flashsale orders cancel --yes --old":       "--older-than",
		"flashsale webhook send --type payment.d":   "payment.disputed payment.dispute_closed",
		"flashsale webhook send --type = payment.f": "payment.failed", // bash splits --type=payment.f
		"flashsale webhook send --type =":           "payment.succeeded payment.failed payment.processing payment.refunded payment.refund_failed payment.disputed payment.dispute_closed",
		"flashsale webhook send --outcome ":         "won lost",
		"flashsale completion ":                     "bash zsh fish",
		"flashsale product get demo ":               "",
		"flashsale with-servers -- go -":            "",
		"flashsale nonsense ":                       "",
	} {
		words := strings.Split(line, " ")
		script := `source <(flashsale completion bash) && complete -p flashsale >/dev/null || exit
			COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _flashsale; echo "${COMPREPLY[*]}"`
		bash := exec.CommandContext(context.Background(), "bash", append([]string{"-c", script, "bash"}, words...)...)
		bash.Dir, bash.Env = d.Dir, d.Env
		out, err := bash.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q: bash offers %q, %v, expected %q", line, got, err, want)
		}
	}
	for shell, part := range map[string]string{"zsh": "compdef _flashsale flashsale", "fish": "complete -c flashsale"} {
		if code, stdout, stderr := d.Run(t, "completion", shell); code != 0 || !strings.Contains(stdout, part) {
			t.Errorf("completion %s: exit %d, expected its script, got %s%s", shell, code, stdout, stderr)
		}
	}
}
