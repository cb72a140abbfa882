package money_test

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"flashsale/pkg/checkout"
	"flashsale/pkg/money"
)

// Every code of ISO's own list has the decimals of that list. N.A. marks codes that are no money, such as gold.
func TestDecimalsAreThoseOfISO4217(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("testdata/iso4217.txt")
	if err != nil {
		t.Fatal(err)
	}
	n, listed := 0, map[string]bool{}
	for line := range strings.Lines(string(list)) {
		code, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		want, err := strconv.Atoi(digits)
		if code == "#" || err != nil {
			continue
		}
		n++
		listed[code] = true
		if got, ok := money.Decimals(code); !ok || got != want {
			t.Errorf("%s has %d decimals (known: %t), expected %d", code, got, ok, want)
		}
	}
	if n < 150 {
		t.Errorf("the list has %d codes, expected at least 150", n)
	}
	var others []string // known, but not on ISO's list
	for i := range 26 * 26 * 26 {
		code := string([]byte{'A' + byte(i/26/26), 'A' + byte(i/26%26), 'A' + byte(i%26)})
		if _, ok := money.Decimals(code); ok && !listed[code] {
			others = append(others, code)
		}
	}
	if want := []string{"ANG", "BGN", "CUC", "HRK", "SLL", "ZWL"}; !slices.Equal(others, want) {
		t.Errorf("the codes %v are known but not on ISO's list, expected %v", others, want)
	}
	for _, code := range []string{"", "usd", "ABC", "XAU", "USDX"} {
		if _, ok := money.Decimals(code); ok {
			t.Errorf("%q is known, expected no currency", code)
		}
	}
}

func TestAmountsAreReadAndWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, code string
		minor      int64
		written    string
	}{
		{"49.99", "usd", 4999, "49.99 USD"},
		{"49.9", "USD", 4990, "49.90 USD"},
		{"150000", "IDR", 15000000, "150000.00 IDR"},
		{"5000", "ISK", 5000, "5000 ISK"},
		{"1.234", "KWD", 1234, "1.234 KWD"},
		{"0", "JPY", 0, "0 JPY"},
		{"7", "SLL", 700, "7.00 SLL"},
	} {
		got, err := money.Parse(c.text, c.code)
		if err != nil || got.Amount != c.minor {
			t.Errorf("%s %s is %+v (%v), expected %d minor units", c.text, c.code, got, err, c.minor)
		}
		if text := money.Format(got); text != c.written {
			t.Errorf("%+v is written %q, expected %q", got, text, c.written)
		}
	}
	for _, bad := range [][2]string{{"", "USD"}, {"1.", "USD"}, {".5", "USD"}, {"1.999", "USD"}, {"1.5", "JPY"}, {"-1", "USD"}, {"1e3", "USD"}, {"10000000000.01", "USD"}, {"1", "ABC"}} {
		if m, err := money.Parse(bad[0], bad[1]); err == nil {
			t.Errorf("%v is read as %+v, expected a refusal", bad, m)
		}
	}
	if text := money.Format(checkout.Money{Amount: 5}); text != "5 (minor units)" {
		t.Errorf("an amount without a currency is %q, expected its minor units", text)
	}
	if text := money.Format(checkout.Money{Amount: 5, Currency: "ABC"}); text != "5 ABC (minor units)" {
		t.Errorf("an unknown currency is written %q", text)
	}
}
