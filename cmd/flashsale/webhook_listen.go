package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/payments"
)

type webhookListenCmd struct {
	ForwardTo string `required:"" help:"The address in your back end that takes the events, such as http://127.0.0.1:3000/events." placeholder:"URL"`
	JSON      bool   `help:"Print one JSON object per line: first the address and the secret, then each delivery."`
}

// Run forwards the payment events that the checkout receives until Ctrl-C.
func (c webhookListenCmd) Run(env environment) error {
	if err := c.check(); err != nil {
		return err
	}
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		start, err := op.ReceivedEvents(ctx, nil, 1)
		if err != nil {
			return err
		}
		secret, origin, err := listenSecret(env)
		if err != nil {
			return err
		}
		signer, err := payments.NewStandard([]string{secret})
		if err != nil {
			return fmt.Errorf("%s: %w", secretFile, err)
		}
		if err := c.begin(env, secret, origin); err != nil {
			return err
		}
		w := &watch{op: op, from: start.AsOf, seen: map[checkout.EventRef]time.Time{}, pause: watchPause}
		if env.stack != "" {
			w.pause = watchPauseStack
		}
		f := newForwarder(env, c.ForwardTo, signer, c.JSON)
		return f.end(w.each(f.ctx, env, f.forward))
	})
}

// check refuses an address that cannot take events.
func (c webhookListenCmd) check() error {
	u, err := url.Parse(c.ForwardTo)
	switch {
	case err != nil && strings.Contains(c.ForwardTo, "@"), err == nil && u.User != nil: // do not repeat a password
		return fmt.Errorf("%w: --forward-to has a user name or a password; the signature shows your back end that an event is genuine", errUsage)
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return fmt.Errorf("%w: --forward-to is %q, expected a URL such as http://127.0.0.1:3000/events", errUsage, c.ForwardTo)
	case strings.Contains(u.Path, webhookPath):
		// A Stripe event would come back as an event of another provider, and pay twice.
		return fmt.Errorf("%w: --forward-to is the webhook of a checkout, expected an address of your own back end", errUsage)
	}
	return nil
}

func (c webhookListenCmd) begin(env environment, secret, origin string) error {
	if c.JSON {
		return printJSONLine(env.out, struct {
			ForwardTo string `json:"forward_to"`
			Secret    string `json:"secret"`
		}{c.ForwardTo, secret})
	}
	return write(env.out, "Forwarding payment events to %s as the checkout receives them. Press Ctrl-C to stop.\nThey are signed with %s (%s).\n\n",
		c.ForwardTo, secret, origin)
}

// listenSecret returns the secret that signs forwarded events: the development secret, or a new one for a real shop, whose own secret is
// never printed.
func listenSecret(env environment) (secret, origin string, err error) {
	if env.stack == "" && len(env.config.WebhookSecrets) == 0 {
		text, err := os.ReadFile(secretFile)
		if err == nil {
			return strings.TrimSpace(string(text)), "the development secret, from " + secretFile, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", "", fmt.Errorf("reading the development secret: %w", err)
		}
	}
	return newSecret(), "made for this run", nil
}

const (
	// watchPause is the time between two reads of the database. With --stack each read invokes the admin function.
	watchPause      = 500 * time.Millisecond
	watchPauseStack = 2 * time.Second
	// lateness is how much older than the events before it a listed event may be, because its transaction waited for locks.
	lateness = 15 * time.Second
)

// watch finds the events that the checkout receives.
type watch struct {
	op    admin.Operator
	from  time.Time // lists begin here
	seen  map[checkout.EventRef]time.Time
	pause time.Duration
}

// each calls do once for each event, until the context ends. It reports a failed read and goes on.
func (w *watch) each(ctx context.Context, env environment, do func(ledger.ReceivedEvent)) error {
	for failing := false; ; {
		events, err := w.next(ctx)
		for _, e := range events {
			do(e)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil && !failing {
			if err := write(env.stderr, "flashsale: %s; trying again\n", oneLine(err)); err != nil {
				return err
			}
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-time.After(w.pause):
		}
	}
}

// next returns the events that came since the call before. With an error it returns those that were read before it.
func (w *watch) next(ctx context.Context) (events []ledger.ReceivedEvent, err error) {
	mark, from := ledger.EventMark{ReceivedAt: w.from}, w.from
	for {
		list, err := w.op.ReceivedEvents(ctx, &mark, admin.MaxListed)
		if err != nil {
			return events, err
		}
		if before := list.AsOf.Add(-lateness); mark.EventID == "" && before.After(from) {
			from = before
		}
		for _, e := range list.Entries {
			ref := checkout.EventRef{Provider: e.Provider, EventID: e.EventID}
			if _, known := w.seen[ref]; !known {
				w.seen[ref] = e.ReceivedAt
				events = append(events, e)
			}
			mark = e.Mark()
		}
		if len(list.Entries) < admin.MaxListed {
			break
		}
	}
	w.from = from
	for ref, at := range w.seen {
		if at.Before(from) {
			delete(w.seen, ref)
		}
	}
	return events, nil
}
