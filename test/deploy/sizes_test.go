package deploy

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/template"
)

// resolved is a setting of the template as it is deployed with these parameters.
func resolved(t testing.TB, path string, parameters map[string]string) any {
	t.Helper()
	checkout := checkoutTemplate(t)
	value := follow(checkout.Object, path)
	if value == nil {
		t.Fatalf("the template has no %s", path)
	}
	return checkout.Resolve(value, parameters)
}

func TestSaleSizeSetsRatesConcurrencyAndCapacity(t *testing.T) {
	const provisioned = "Resources.HoldsFunction.Properties.ProvisionedConcurrencyConfig"
	count := func(n string) any { return object{"ProvisionedConcurrentExecutions": n} }
	for _, test := range []struct {
		name        string
		parameters  map[string]string
		rate        string
		reserved    any
		provisioned any
		minAcu      string
	}{
		{"default", nil, "2000", nil, nil, "1"},
		{"small", map[string]string{"SaleSize": "small"}, "2000", "20", count("10"), "2"},
		{"medium", map[string]string{"SaleSize": "medium"}, "2000", "150", count("50"), "8"},
		{"large", map[string]string{"SaleSize": "large"}, "3000", "375", count("150"), "16"},
		{"overrides", map[string]string{"SaleSize": "large", "HoldsRate": "10", "ReservedHolds": "11", "ProvisionedHolds": "12", "DbMinAcu": "13"},
			"10", "11", count("12"), "13"},
		{"overrides without a size", map[string]string{"ReservedHolds": "11", "ProvisionedHolds": "1"}, "2000", "11", count("1"), "1"},
		{"overrides with zero", map[string]string{"SaleSize": "large", "ReservedHolds": "0", "ProvisionedHolds": "0"}, "3000", nil, nil, "16"},
	} {
		t.Run(test.name, func(t *testing.T) {
			checkout := checkoutTemplate(t)
			limits := checkout.At("Resources", "Api", "Properties", "RouteSettings", "POST /v1/holds", "ThrottlingRateLimit")
			got := []any{
				checkout.Resolve(limits, test.parameters),
				resolved(t, "Resources.HoldsFunction.Properties.ReservedConcurrentExecutions", test.parameters),
				withNumbers(checkout, resolved(t, provisioned, test.parameters), test.parameters),
				resolved(t, "Resources.Db.Properties.ServerlessV2ScalingConfiguration.MinCapacity", test.parameters),
			}
			if d := cmp.Diff([]any{test.rate, test.reserved, test.provisioned, test.minAcu}, got); d != "" {
				t.Errorf("expected (-) and got (+) rate, reserved, provisioned and ACU:\n%s", d)
			}
		})
	}
}

// withNumbers resolves the values of a mapping.
func withNumbers(checkout template.Template, value any, parameters map[string]string) any {
	o, ok := value.(object)
	if !ok {
		return value
	}
	out := object{}
	for key, v := range o {
		out[key] = checkout.Resolve(v, parameters)
	}
	return out
}

// Every number of a sale size has a parameter that overrides it, and each number reaches its own function.
func TestEveryNumberOfSaleSizeHasOverride(t *testing.T) {
	checkout := checkoutTemplate(t)
	sizes := checkout.At("Mappings", "SaleSizes").(object)
	if d := cmp.Diff(checkout.At("Parameters", "SaleSize", "AllowedValues"), []any{"none", "small", "medium", "large"}); d != "" || len(sizes) != 4 {
		t.Errorf("expected four sizes: %s", d)
	}
	numbers := template.Keys(sizes["none"].(object))
	for size, values := range sizes {
		if d := cmp.Diff(numbers, template.Keys(values.(object))); d != "" {
			t.Errorf("the numbers of none (-) and %s (+) differ:\n%s", size, d)
		}
	}
	for _, number := range numbers {
		if got := checkout.At("Parameters", number, "Default"); got != "SaleSize" {
			t.Errorf("%s: expected the default SaleSize, got %v", number, got)
		}
	}
	for _, f := range []string{"Products", "Holds", "Orders", "Webhook", "Expire"} {
		path := "Resources." + f + "Function.Properties."
		if got := resolved(t, path+"ReservedConcurrentExecutions", map[string]string{"Reserved" + f: "17"}); got != "17" {
			t.Errorf("expected Reserved%s to reserve concurrency, got %v", f, got)
		}
		if f == "Expire" {
			continue
		}
		given := map[string]string{"Provisioned" + f: "18"}
		got := withNumbers(checkout, resolved(t, path+"ProvisionedConcurrencyConfig", given), given)
		if d := cmp.Diff(object{"ProvisionedConcurrentExecutions": "18"}, got); d != "" {
			t.Errorf("Provisioned%s is not used:\n%s", f, d)
		}
	}
	for number, property := range map[string]string{"DbMinAcu": "MinCapacity", "DbMaxAcu": "MaxCapacity"} {
		if got := resolved(t, "Resources.Db.Properties.ServerlessV2ScalingConfiguration."+property, map[string]string{number: "19"}); got != "19" {
			t.Errorf("expected %s to set %s, got %v", number, property, got)
		}
	}
}

// The mapping is the table that operators plan a sale with.
func TestSaleSizesMatchOperationsTable(t *testing.T) {
	checkout := checkoutTemplate(t)
	found := 0
	for line := range strings.SplitSeq(source(t, "../../docs/operations.md"), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), "|")
		if len(cells) != 4 || !strings.Contains(cells[0], "`") {
			continue
		}
		names := parameterNames(cells[0])
		for column, size := range []string{"small", "medium", "large"} {
			for i, number := range strings.Split(cells[column+1], ",") {
				if i >= len(names) || checkout.At("Mappings", "SaleSizes", size, names[i]) == nil {
					continue // a row about something else, or a limit that is the same for all sizes
				}
				found++
				want, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
				got, _ := strconv.ParseFloat(checkout.Resolve(checkout.At("Mappings", "SaleSizes", size, names[i]), nil).(string), 64)
				if err != nil || got != want {
					t.Errorf("%s of a %s sale: docs/operations.md has %s, the template %v", names[i], size, number, got)
				}
			}
		}
	}
	if want := 3 * len(checkout.At("Mappings", "SaleSizes", "none").(object)); found != want {
		t.Errorf("expected %d numbers in the table of docs/operations.md, found %d", want, found)
	}
}

// parameterNames reads "`ReservedProducts`, `…Holds`": the second name repeats the first one's prefix.
func parameterNames(cell string) (names []string) {
	prefix := ""
	for _, found := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
		name, short := strings.CutPrefix(found[1], "…")
		if short {
			name = prefix + name
		} else {
			for _, p := range []string{"Reserved", "Provisioned"} {
				if strings.HasPrefix(name, p) {
					prefix = p
				}
			}
		}
		names = append(names, name)
	}
	return slices.Clip(names)
}
