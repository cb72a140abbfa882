package deploy

import (
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/shoptest"
	"flashsale/internal/template"
	"flashsale/pkg/checkout"
)

const operationsPath = "../../docs/operations.md"

// numberIn reads the only number that a pattern finds in docs/operations.md.
func numberIn(t testing.TB, pattern string) float64 {
	t.Helper()
	found := regexp.MustCompile(pattern).FindAllStringSubmatch(source(t, operationsPath), -1)
	if len(found) != 1 {
		t.Fatalf("docs/operations.md has %d matches of %s, expected 1", len(found), pattern)
	}
	return number(t, found[0][1])
}

func number(t testing.TB, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", ""), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOperationsCountsAreTrue(t *testing.T) {
	alarms := monitoringTemplate(t).OfType(t, "AWS::CloudWatch::Alarm")
	metrics := 0
	for _, alarm := range alarms {
		listed, several := template.At(alarm, "Properties", "Metrics").([]any)
		if !several {
			metrics++
		}
		for _, m := range listed {
			if template.At(m, "MetricStat") != nil { // AWS bills the metrics of an alarm, not its expressions
				metrics++
			}
		}
	}
	for pattern, want := range map[string]int{
		`there are (\d+) alarms, and you`:                  len(alarms),
		`# (\d+); OK, or INSUFFICIENT_DATA`:                len(alarms),
		`metrics in (\d+) alarms × 0\.10`:                  len(alarms),
		`\| (\d+) metrics in \d+ alarms × 0\.10`:           metrics,
		"`y`, (\\d+) times, once for each route":           len(checkoutTemplate(t).Routes(t)),
		`that took longer than (\d+) s`:                    int(seconds(t, follow(checkoutTemplate(t).Object, "Resources.DbInstanceParameters.Properties.Parameters.long_query_time")) / time.Second),
		`The default is (\d+) %: 20 at 8 ACU and 60 at 32`: checkoutTemplate(t).At("Parameters", "MaxConnectionsPercent", "Default").(int),
	} {
		if got := numberIn(t, pattern); got != float64(want) {
			t.Errorf("docs/operations.md says %v in %q, the templates have %d", got, pattern, want)
		}
	}
}

// The quota that an operator requests days before a sale.
func TestOperationsAddsUpReservations(t *testing.T) {
	row := regexp.MustCompile(`(?m)^\| \*\*Lambda quota\*\*.*$`).FindString(source(t, operationsPath))
	cells := strings.Split(row, " | ")
	if len(cells) != 4 {
		t.Fatalf("expected three sizes, got %q", row)
	}
	for column, size := range []string{"small", "medium", "large"} {
		sum := 100.0
		for name, value := range checkoutTemplate(t).At("Mappings", "SaleSizes", size).(object) {
			if strings.HasPrefix(name, "Reserved") {
				sum += float64(value.(int))
			}
		}
		said, _, _ := strings.Cut(cells[column+1], ":")
		if number(t, said) != sum {
			t.Errorf("%s: docs/operations.md says %s, the reservations and 100 are %v", size, said, sum)
		}
	}
}

func TestOperationsListsEveryAlarm(t *testing.T) {
	want, got := map[string]string{}, map[string]string{}
	for id, alarm := range monitoringTemplate(t).OfType(t, "AWS::CloudWatch::Alarm") {
		want[id] = levelOf(alarm["Properties"].(object))
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (page|ticket) \\|").FindAllStringSubmatch(source(t, operationsPath), -1) {
		got[row[1]] = row[2]
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("alarms of the template (-) and of docs/operations.md (+) differ:\n%s", d)
	}
}

// costTable returns the cells of each row of a table of docs/operations.md, and its total.
func costTable(t testing.TB, header string) (rows [][]string, total []string) {
	t.Helper()
	_, table, found := strings.Cut(source(t, operationsPath), "\n"+header+"\n")
	if !found {
		t.Fatalf("docs/operations.md has no table %q", header)
	}
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		switch {
		case cells[0] == "**Total**":
			return rows, cells
		case len(cells) > 1:
			rows = append(rows, cells)
		}
	}
	t.Fatalf("the table %q has no total", header)
	return nil, nil
}

func TestCostTablesAddUp(t *testing.T) {
	for _, header := range []string{"| line | formula | $ |", "| line | formula | dev $ | prod $ |", "| line | formula | month without a sale $ | one sale $ |"} {
		rows, total := costTable(t, header)
		for column := 2; column < len(total); column++ {
			sum := 0.0
			for _, cells := range rows {
				sum += number(t, cells[column])
			}
			if want := number(t, strings.Trim(total[column], "*")); math.Abs(sum-want) > 0.001 {
				t.Errorf("%s: column %d adds up to %.2f, the total says %.2f", header, column, sum, want)
			}
		}
	}
}

// The requests that reach the functions in a stampede follow from the rates of a large sale, and from the rate of an address.
func TestStampedeFollowsFromTheRates(t *testing.T) {
	large := func(rate string) float64 {
		return float64(checkoutTemplate(t).At("Mappings", "SaleSizes", "large", rate).(int))
	}
	const readers, buyers, caches = 200_000, 100_000, 13 // a second, of a million shoppers; CloudFront's regional caches
	products, holds := large("ProductsRate"), large("HoldsRate")
	for pattern, want := range map[string]float64{
		`\| product reads \| 200,000 \| .ProductsRate. admits ([\d,]+):`:           products,
		`\| holds \| 100,000 \| .HoldsRate. admits ([\d,]+):`:                      holds,
		`get a response, all together \| 300,000 \| ([\d,]+): 3 %`:                 products + holds,
		`get a response, all together \| 300,000 \| [\d,]+: 3 % \| ([\d,]+): 68 %`: readers + holds,
		`by functions \| \| [\d,]+ \| ([\d,]+) \|`:                                 holds + caches,
		`429 from API Gateway \| \| ([\d,]+) \|`:                                   readers + buyers - products - holds,
		`429 from API Gateway \| \| [\d,]+ \| ([\d,]+) \|`:                         buyers - holds,
		`At 300 a minute each, ([\d,]+) addresses reach .HoldsRate.`:               holds / (float64(edgeTemplate(t).At("Parameters", "AddressRate", "Default").(int)) / 60),
		`10,000 units at 3,000 holds a second are gone after ([\d.]+) s\. From`:    math.Floor(10*10_000/holds+1) / 10, // rounded up
	} {
		if got := numberIn(t, pattern); got != want {
			t.Errorf("docs/operations.md says %v in %q, the templates give %v", got, pattern, want)
		}
	}
}

// The sweep and the audit keep the database above the minimum that the stacks are deployed with.
func TestCostOfDatabaseFollowsItsMinimum(t *testing.T) {
	rows, _ := costTable(t, "| line | formula | dev $ | prod $ |")
	for column, environment := range map[int]string{2: "dev", 3: "prod"} {
		parameters := map[string]string{}
		for _, override := range regexp.MustCompile(`(\w+)=([^ "]+)`).FindAllStringSubmatch(section(t, environment+".deploy.parameters"), -1) {
			parameters[override[1]] = override[2]
		}
		minimum := number(t, resolved(t, "Resources.Db.Properties.ServerlessV2ScalingConfiguration.MinCapacity", parameters).(string))
		if want := map[string]float64{"dev": 1, "prod": 2}[environment]; minimum != want {
			t.Errorf("%s: expected at least %v ACU, got %v", environment, want, minimum)
		}
		instances := map[string]float64{"dev": 1, "prod": 2}[environment]
		want := fmt.Sprintf("%.2f", (minimum+0.5)*instances*730*0.12)
		if rows[0][0] != "Aurora" || rows[0][column] != want {
			t.Errorf("%s: expected Aurora to cost %s in the table, got %v", environment, want, rows[0])
		}
	}
}

// A stack without a sale writes these metrics, and pays for them and for their lines.
func TestCostOfIdleSweeper(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{})
	s := shoptest.New(t, 5, o)
	f := s.StartFunction(t, "expire", o)
	if _, err := f.Invoke(context.Background(), map[string]string{"source": "aws.scheduler"}, 6*time.Second); err != nil {
		t.Error(err)
	}
	f.Stop()
	bytes := 0
	metrics := map[string]bool{} // by name: with the same dimensions in every minute
	for line := range strings.Lines(f.Output()) {
		name := "" // one metric a line
		for _, m := range checkout.Metrics {
			if strings.Contains(line, `"Name":"flashsale_`+m.Name+`"`) {
				name = m.Name
			}
		}
		if name == checkout.LedgerRetries.Name || name == checkout.LostWrites.Name {
			continue // this machine is busy
		}
		if bytes += len(line); name != "" {
			metrics[name] = true
		}
	}
	if want := numberIn(t, `alarms × 0\.10, (\d+) custom metrics`); float64(len(metrics)) != want {
		t.Errorf("docs/operations.md counts %v custom metrics without a sale, the sweeper wrote %d: %v", want, len(metrics), slices.Sorted(maps.Keys(metrics)))
	}
	if want := numberIn(t, `a month × \(([\d.]+) KB × 0\.50/GB`); math.Abs(float64(bytes)/1000-want) > 0.3 {
		t.Errorf("docs/operations.md has %v KB of log for a sweep, it wrote %d bytes", want, bytes)
	}
}
