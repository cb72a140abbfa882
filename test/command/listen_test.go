package command

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/payments"
)

// backEnd is a developer's back end. It records what it receives, and fails the first delivery of the ids in failing.
type backEnd struct {
	*httptest.Server
	mutex   sync.Mutex
	got     []forwarded
	failing map[string]bool
}

type forwarded struct {
	header http.Header
	body   []byte
}

func (f forwarded) id() string { return f.header.Get("Webhook-Id") }

func newBackEnd(t *testing.T, failing ...string) *backEnd {
	t.Helper()
	b := &backEnd{failing: map[string]bool{}}
	for _, id := range failing {
		b.failing[id] = true
	}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mutex.Lock()
		defer b.mutex.Unlock()
		f := forwarded{r.Header, body}
		b.got = append(b.got, f)
		if b.failing[f.id()] {
			b.failing[f.id()] = false
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "out of\norder")
			return
		}
		_, _ = io.WriteString(w, "thanks")
	}))
	t.Cleanup(b.Close)
	return b
}

// received returns the deliveries so far, by the event's id.
func (b *backEnd) received() map[string][]forwarded {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	all := map[string][]forwarded{}
	for _, f := range b.got {
		all[f.id()] = append(all[f.id()], f)
	}
	return all
}

// listener is a running `flashsale webhook listen --json`.
type listener struct {
	out    *shoptest.Output
	signer *payments.Standard // verifies what it forwards
	stop   func()
}

func listen(t *testing.T, d shoptest.Desk, args ...string) listener {
	t.Helper()
	command, out := d.Begin(t, append([]string{"webhook", "listen", "--json"}, args...)...)
	l := listener{out: out}
	stopped := false
	l.stop = func() {
		if !stopped {
			stopped = true
			_ = command.Process.Signal(syscall.SIGINT)
			if err := command.Wait(); err != nil {
				t.Errorf("webhook listen ended with %v after Ctrl-C, expected exit 0, printed\n%s", err, out)
			}
		}
	}
	t.Cleanup(l.stop)
	shoptest.Eventually(t, "webhook listen begins", func() bool { return strings.Contains(out.String(), "\n") })
	var first struct{ Secret string }
	line, _, _ := strings.Cut(out.String(), "\n")
	if err := json.Unmarshal([]byte(line), &first); err != nil {
		t.Fatalf("the first line is %q, expected JSON with the secret", line)
	}
	l.signer = shoptest.Must(payments.NewStandard([]string{first.Secret}))(t)
	return l
}

// Each event that the checkout receives is forwarded once, signed, and says what the first one said: applied, delivered twice,
// unmatched, without effect, late, and Stripe's.
func TestWebhookListenForwardsEachEventOnce(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 20, shoptest.Options{})
	d := shoptest.NewDesk(t, "MYSQL_DSN="+s.AdminDSN, "CACHE_ADDR=127.0.0.1:1", "WEBHOOK_SECRETS="+shoptest.Secret("new"))
	before := s.MustOrder(t, 1)
	s.Deliver(t, "evt_before", s.Event("payment.succeeded", before, 1))
	b := newBackEnd(t, "evt_paid")
	l := listen(t, d, "--forward-to", b.URL+"/events")
	if strings.Contains(l.out.String(), shoptest.Secret("new")) {
		t.Error("it prints the secret of the shop, expected one of its own")
	}

	paid, unknown := s.MustOrder(t, 2), ledgertest.NewID()
	for _, id := range []string{"evt_paid", "evt_paid"} {
		s.Deliver(t, id, s.EventAt(time.Unix(1_800_000_000, 0), "payment.succeeded", paid, 2))
	}
	s.Deliver(t, "evt_unmatched", s.Event("payment.succeeded", unknown, 1))
	for id, event := range map[string]string{
		"evt_refund":  `{"type":"payment.refunded","data":{"payment_id":"pay_` + paid.OrderID() + `","refund_id":"re_1","amount":1,"currency":"USD"}}`,
		"evt_dispute": `{"type":"payment.disputed","data":{"payment_id":"pay_` + paid.OrderID() + `","dispute_id":"du_1"}}`,
		"evt_closed":  `{"type":"payment.dispute_closed","data":{"payment_id":"pay_` + paid.OrderID() + `","dispute_id":"du_1","outcome":"lost"}}`,
		"evt_other":   `{"type":"invoice.paid","data":{}}`,
	} {
		if r := s.Deliver(t, id, []byte(event)); r.Status/100 != 2 {
			t.Fatalf("%s: got %+v, expected 2xx", event, r)
		}
	}
	s.DeliverStripeEvents(t)
	const all = 6 + 8
	shoptest.Eventually(t, "the events arrive, and a second later the failed one again", func() bool {
		got := b.received()
		return len(got) == all && len(got["evt_paid"]) == 2
	})
	// As an event whose transaction waited for a lock: later ones were listed before it.
	s.MustExec(t, `INSERT INTO payment_events (provider, event_id, type, kind, payment_id, payload_digest, result, received_at, settled_at, retry_at)
		VALUES ('standard', 'evt_late', 'invoice.paid', 'other', '', REPEAT('d', 32), 'ignored', UTC_TIMESTAMP(6) - INTERVAL 900000 MICROSECOND, UTC_TIMESTAMP(6), NULL)`)
	shoptest.Eventually(t, "the late event arrives", func() bool { return len(b.received()) == all+1 })
	l.stop()
	l.expectFaithful(t, s, b)
	if out := l.out.String(); !strings.Contains(out, `"event_id":"evt_paid","provider":"standard","order_id":"`+paid.OrderID()+`","payment_id":"pay_`+paid.OrderID()+
		`","result":"applied","attempt":1,"delivered":false,"status":500,"response":"out of order","next_attempt_in_seconds":1}`) || strings.Count(out, `"delivered":true`) != all+1 {
		t.Errorf("it printed\n%s\nexpected the failed delivery and %d that succeeded", out, all+1)
	}
	if left := d.Processes(); len(left) > 0 {
		t.Errorf("processes %v are left, expected none", left)
	}
}

// expectFaithful compares each forwarded event with the stored one.
func (l listener) expectFaithful(t *testing.T, s *shoptest.Shop, b *backEnd) {
	t.Helper()
	stored := map[string]string{}
	list, err := s.ReceivedEvents(t.Context(), &ledger.EventMark{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Entries {
		kind := e.Kind
		if kind == checkout.PaymentRefundedSum {
			kind = checkout.PaymentOther // Standard Webhooks' events of ours have no sums
		}
		amount := checkout.Money{}
		if e.Amount != nil {
			amount = *e.Amount
		}
		refund := e.RefundID
		if kind == checkout.PaymentOther {
			refund = ""
		}
		stored[e.EventID] = fmt.Sprint(kind, e.OrderID, e.PaymentID, refund, amount)
	}
	for id, deliveries := range b.received() {
		want := 1
		if id == "evt_paid" {
			want = 2
		}
		if len(deliveries) != want {
			t.Errorf("%s was delivered %d times, expected %d", id, len(deliveries), want)
		}
		for _, f := range deliveries {
			e, err := l.signer.Event(f.header, f.body)
			if err != nil {
				t.Errorf("%s is refused: %v, expected a signature of the printed secret; body %s", id, err, f.body)
				continue
			}
			subject := ""
			if e.Subject != nil {
				subject = e.Subject.OrderID()
			}
			if got := fmt.Sprint(e.Kind, subject, e.PaymentID, e.RefundID, e.Amount); got != stored[id] {
				t.Errorf("%s says %s, expected %s; body %s", id, got, stored[id], f.body)
			}
		}
	}
	twice := b.received()["evt_paid"]
	if string(twice[0].body) != string(twice[1].body) || !strings.Contains(string(twice[0].body), `"timestamp":"2027-01-15T08:00:00.000Z"`) {
		t.Errorf("the deliveries of one event are %s and %s, expected the same body, with the provider's time", twice[0].body, twice[1].body)
	}
	at := func(f forwarded) int { return shoptest.Must(strconv.Atoi(f.header.Get("Webhook-Timestamp")))(t) }
	if at(twice[1]) <= at(twice[0]) {
		t.Errorf("the deliveries of one event were signed at %d and %d, expected a new timestamp", at(twice[0]), at(twice[1]))
	}
}

// On a stack the admin function lists the events, and the stack's secret is not read.
func TestWebhookListenOnAStack(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 10, shoptest.Options{Functions: true})
	var throttled atomic.Bool
	var migrations atomic.Int32
	endpoint := aws(t, s, s.URL, &throttled, &migrations)
	d := shoptest.NewDesk(t, "AWS_ENDPOINT_URL="+endpoint.URL, "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret-access-key")
	b := newBackEnd(t)
	l := listen(t, d, "--forward-to", b.URL, "--stack", "shop-dev")
	s.Deliver(t, "evt_1", s.Event("payment.succeeded", s.MustOrder(t, 1), 1))
	shoptest.Eventually(t, "the event arrives", func() bool { return len(b.received()["evt_1"]) == 1 })
	l.stop()
	f := b.received()["evt_1"][0]
	if e, err := l.signer.Event(f.header, f.body); err != nil || e.Kind != checkout.PaymentSucceeded {
		t.Errorf("got %+v, %v, expected the payment, signed with the printed secret", e, err)
	}
	if _, err := s.Signer.Event(f.header, f.body); err == nil || strings.Contains(l.out.String(), shoptest.Secret("new")) {
		t.Error("the event is signed with the stack's secret, or it was printed; expected another secret")
	}
}

// A failed read of the database and a back end that is down do not end the command. Ctrl-C says what was not delivered.
func TestWebhookListenGoesOnAfterFailures(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 10, shoptest.Options{})
	d := shoptest.NewDesk(t, "MYSQL_DSN="+s.AdminDSN, "CACHE_ADDR=127.0.0.1:1")
	command, out := d.Begin(t, "webhook", "listen", "--forward-to", unused(t))
	shoptest.Eventually(t, "webhook listen begins", func() bool { return strings.Contains(out.String(), "made for this run") })
	s.MustExec(t, "RENAME TABLE payment_events TO elsewhere")
	shoptest.Eventually(t, "the failed read is reported", func() bool { return strings.Contains(out.String(), "; trying again\n") })
	s.MustExec(t, "RENAME TABLE elsewhere TO payment_events")
	order := s.MustOrder(t, 1)
	s.Deliver(t, "evt_1", s.Event("payment.succeeded", order, 1))
	shoptest.Eventually(t, "the first attempts fail", func() bool { return strings.Contains(out.String(), "attempt 2") })
	_ = command.Process.Signal(syscall.SIGINT)
	if err := command.Wait(); err != nil {
		t.Errorf("it ended with %v after Ctrl-C, expected exit 0", err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	attempt := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, "attempt 1") })
	if attempt < 0 || !strings.Contains(lines[attempt], "  payment.succeeded  evt_1  "+order.OrderID()+"  → dial tcp ") || !strings.HasSuffix(lines[attempt], "; attempt 1, the next in 1 s") ||
		lines[len(lines)-1] != "flashsale: 1 event not delivered" {
		t.Errorf("it printed\n%s\nexpected each attempt with its reason, and the event that was not delivered", out)
	}
}
