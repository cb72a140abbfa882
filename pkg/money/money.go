// Package money knows the minor units of ISO 4217: how many decimals an amount in a currency has. The ledger, the API and
// the events keep amounts in minor units; people read and write them with decimals.
//
// CLDR's display digits are another table: it shows IDR, RSD or PKR without decimals, and would be off by a hundred.
package money

import (
	"fmt"
	"strings"

	"github.com/bojanz/currency"

	"flashsale/pkg/checkout"
)

// withdrawn are codes that ISO 4217 has withdrawn lately, but that payment providers still send.
var withdrawn = map[string]int{"SLL": 2, "HRK": 2, "ZWL": 2, "ANG": 2, "BGN": 2, "CUC": 2}

// Decimals returns the number of decimals of a currency. ok is false if ISO 4217 has no such code.
func Decimals(code string) (decimals int, ok bool) {
	if digits, found := currency.GetDigits(code); found {
		return int(digits), true
	}
	decimals, ok = withdrawn[code]
	return decimals, ok
}

// NotHundredths returns the currencies whose minor unit is not a hundredth, with their number of decimals.
func NotHundredths() map[string]int {
	found := map[string]int{}
	for _, code := range currency.GetCurrencyCodes() {
		if decimals, ok := Decimals(code); ok && decimals != 2 {
			found[code] = decimals
		}
	}
	return found
}

// Format returns minor units as text, such as "49.99 USD". Of an unknown currency it says so.
func Format(m checkout.Money) string {
	decimals, ok := Decimals(m.Currency)
	if !ok {
		return strings.TrimSpace(fmt.Sprintf("%d %s", m.Amount, m.Currency)) + " (minor units)"
	}
	digits := fmt.Sprintf("%0*d", decimals+1, m.Amount)
	if decimals > 0 {
		digits = digits[:len(digits)-decimals] + "." + digits[len(digits)-decimals:]
	}
	return digits + " " + m.Currency
}

// Parse reads an amount such as "49.99" in a currency, at most checkout.MaxPrice minor units. Its error is a sentence for
// the person who wrote the amount.
func Parse(amount, code string) (checkout.Money, error) {
	code = strings.ToUpper(code)
	decimals, ok := Decimals(code)
	if !ok {
		return checkout.Money{}, fmt.Errorf("the currency is %q, expected ISO 4217 such as USD", code)
	}
	bad := fmt.Errorf("the amount is %q, expected an amount in %s such as %s, at most %s", amount, code,
		Format(checkout.Money{Amount: 4999, Currency: code}), Format(checkout.Money{Amount: checkout.MaxPrice, Currency: code}))
	whole, fraction, hasFraction := strings.Cut(amount, ".")
	if whole == "" || len(whole) > 15 || len(fraction) > decimals || (hasFraction && fraction == "") {
		return checkout.Money{}, bad
	}
	var minor int64
	for _, digit := range whole + fraction + strings.Repeat("0", decimals-len(fraction)) {
		if digit < '0' || digit > '9' {
			return checkout.Money{}, bad
		}
		if minor = minor*10 + int64(digit-'0'); minor > checkout.MaxPrice {
			return checkout.Money{}, bad
		}
	}
	return checkout.Money{Amount: minor, Currency: code}, nil
}
