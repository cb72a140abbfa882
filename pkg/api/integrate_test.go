package api_test

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"flashsale/pkg/api"
	"flashsale/pkg/checkout"
)

// constants returns the values of the constants of a source file whose declaration matches a pattern.
func constants(t *testing.T, path, pattern string) (values []string) {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^\t`+pattern+` += "([a-z_.]+)"`).FindAllStringSubmatch(string(source), -1) {
		values = append(values, match[1])
	}
	if len(values) < 3 {
		t.Fatalf("found %v in %s, expected more", values, path)
	}
	return values
}

// guide is what a shop's developer reads.
func guide(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/integrate.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The guide tells for every code, with its status, what to show and whether to retry.
func TestGuideHasEveryCode(t *testing.T) {
	t.Parallel()
	codes := append(constants(t, "../checkout/errors.go", `Code\w+ +Code`), constants(t, "problem.go", `code\w+ +checkout\.Code`)...)
	want := map[string]string{}
	for _, code := range codes {
		w := newRecorder()
		api.WriteProblem(w, "request-1", &checkout.Error{Code: checkout.Code(code)})
		want[code] = strconv.Itoa(w.Code)
	}
	_, table, _ := strings.Cut(guide(t), "| code | status | show | retry |\n|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	for row := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(strings.Trim(row, "|"), "|")
		if len(cells) != 4 || strings.TrimSpace(cells[2]) == "" || strings.TrimSpace(cells[3]) == "" {
			t.Errorf("the row %q is not a code, a status, what to show and whether to retry", row)
			continue
		}
		statuses := strings.Split(cells[1], ",")
		for i, code := range strings.Split(cells[0], ",") {
			code, status := strings.Trim(code, " `"), strings.TrimSpace(statuses[min(i, len(statuses)-1)])
			if want[code] != status {
				t.Errorf("the guide has %s with the status %s, expected %q", code, status, want[code])
			}
			delete(want, code)
		}
	}
	if len(want) > 0 {
		t.Errorf("the guide lacks the codes %v", want)
	}
}

// The guide names every status and reason of an order, and every type of payment event.
func TestGuideHasEveryStatusAndEvent(t *testing.T) {
	t.Parallel()
	text := guide(t)
	for _, word := range slices.Concat(constants(t, "../checkout/order.go", `Order\w+ +OrderStatus`), constants(t, "../checkout/order.go", `Reason\w+ +Reason`),
		constants(t, "../payments/standard.go", `Standard\w+`)) {
		if !strings.Contains(text, "`"+word+"`") {
			t.Errorf("the guide lacks %s", word)
		}
	}
}
