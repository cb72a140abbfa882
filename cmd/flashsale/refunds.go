package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/uuid"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/money"
)

type refundsCmd struct {
	List   refundsListCmd   `cmd:"" default:"withargs" help:"List the payments that owe money: how much, why, since when. This is the default: refunds --json works as well."`
	Record refundsRecordCmd `cmd:"" help:"Record money that went back to a shopper outside of the payment's provider, such as by bank transfer."`
}

type refundsListCmd struct {
	JSON bool `help:"Print the list as JSON."`
}

// Run lists the payments that owe money.
func (c refundsListCmd) Run(env environment) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		owed, err := op.Owed(ctx, admin.MaxListed)
		if err != nil {
			return err
		}
		return printOwed(env, c.JSON, owed)
	})
}

func printOwed(env environment, asJSON bool, owed ledger.OwedPayments) error {
	if asJSON {
		if err := printJSON(env.out, append([]ledger.OwedPayment{}, owed.Entries...)); err != nil {
			return err
		}
		return printMore(env, true, owed.More(), "payment", "oldest")
	}
	if owed.Total == 0 {
		return write(env.out, "No refund is due.\n")
	}
	err := printTable(env.out, "ORDER\tTO REFUND\tREASON\tPROVIDER\tPAYMENT\tSINCE", owed.Entries, func(p ledger.OwedPayment) []string {
		return []string{p.OrderID, money.Format(p.Owed), string(p.Reason), p.Provider, p.PaymentID, p.Since.Format(time.RFC3339)}
	})
	if err != nil {
		return err
	}
	if err := printMore(env, false, owed.More(), "payment", "oldest"); err != nil {
		return err
	}
	totals := make([]string, len(owed.Totals))
	for i, t := range owed.Totals {
		totals[i] = money.Format(t.Owed) + " in " + plural(t.Payments, "payment")
	}
	return write(env.out, "Owed: %s.\n", strings.Join(totals, "; "))
}

type refundsRecordCmd struct {
	Payment  string `required:"" help:"The provider's id of the payment." placeholder:"ID"`
	Provider string `help:"The payment's provider: standard or stripe. Needed only if both have a payment with this id." placeholder:"NAME"`
	Amount   string `required:"" help:"The money that went back, in the payment's currency, such as 10.00." placeholder:"10.00"`
	Note     string `required:"" help:"How it went back, for the books." placeholder:"TEXT"`
	Operator string `help:"Your name, for the books (default: $$USER; with --stack, your AWS identity)." placeholder:"NAME"`
	ID       string `help:"The record's id (default: a new one). It starts with record:. Repeat an id to retry a command that failed: it records nothing twice." placeholder:"record:…"`
	jsonFlag
}

// check refuses flags that need no look at the payment.
func (c refundsRecordCmd) check() error {
	switch {
	case c.Provider != "" && c.Provider != checkout.ProviderStandard && c.Provider != checkout.ProviderStripe:
		return fmt.Errorf("%w: --provider is %q, expected %s or %s", errUsage, c.Provider, checkout.ProviderStandard, checkout.ProviderStripe)
	case c.ID != "" && (!strings.HasPrefix(c.ID, admin.RecordPrefix) || c.ID == admin.RecordPrefix):
		return fmt.Errorf("%w: --id is %q, expected an id that starts with %s, such as %[3]s17", errUsage, c.ID, admin.RecordPrefix)
	case strings.TrimSpace(c.Note) == "":
		return fmt.Errorf("%w: --note is empty, expected how the money went back", errUsage)
	}
	return nil
}

// Run records money that went back to a shopper.
func (c refundsRecordCmd) Run(env environment) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.ID == "" {
		c.ID = admin.RecordPrefix + uuid.NewString()
	}
	if c.Operator == "" {
		c.Operator = operatorName(env)
	}
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		payment, err := c.find(ctx, op)
		if err != nil {
			return err
		}
		amount, err := parseAmount("--amount", c.Amount, payment.Currency)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		after, err := op.RecordReturn(ctx, checkout.RefundRecord{
			ID: c.ID, Provider: payment.Provider, PaymentID: payment.PaymentID, Amount: amount.Amount, Note: c.Note, Operator: c.Operator,
		})
		if code := checkout.CodeOf(err); err != nil && (code == "" || code == checkout.CodeBusy) {
			return fmt.Errorf("%w (it may have been recorded: retry with --id %s)", err, c.ID)
		}
		if err != nil {
			return nameFlags(err, payment)
		}
		still := "nothing more"
		if after.Owed > 0 {
			still = money.Format(checkout.Money{Amount: after.Owed, Currency: after.Currency}) + " more"
		}
		return c.print(env, struct {
			RefundID  string         `json:"refund_id"`
			Provider  string         `json:"provider"`
			PaymentID string         `json:"payment_id"`
			OrderID   string         `json:"order_id"`
			Amount    checkout.Money `json:"amount"`
			Owed      checkout.Money `json:"owed"` // still, by the payment
		}{c.ID, after.Provider, after.PaymentID, after.OrderID, amount, checkout.Money{Amount: after.Owed, Currency: after.Currency}}, "Recorded: %s of payment %s (%s, order %s) went back; it owes %s.\n",
			money.Format(amount), cell(after.PaymentID), after.Provider, after.OrderID, still)
	})
}

// nameFlags makes the fields of a refusal flags, and says what the payment holds if the amount is too high.
func nameFlags(err error, payment ledger.PaymentRecord) error {
	var refused *checkout.Error
	if !errors.As(err, &refused) {
		return err
	}
	named := &checkout.Error{Code: refused.Code, Detail: refused.Detail}
	for _, f := range refused.Fields {
		if held := payment.Received - payment.Returned; f.Field == "amount" && held >= 0 {
			f.Detail += ": " + money.Format(checkout.Money{Amount: held, Currency: payment.Currency})
		}
		named.Fields = append(named.Fields, checkout.FieldError{Field: "--" + f.Field, Detail: f.Detail})
	}
	return named
}

// find finds the payment that the flags name.
func (c refundsRecordCmd) find(ctx context.Context, op admin.Operator) (ledger.PaymentRecord, error) {
	payments, err := op.Payments(ctx, c.Payment)
	if err != nil {
		return ledger.PaymentRecord{}, err
	}
	var found []ledger.PaymentRecord
	for _, p := range payments {
		if c.Provider == "" || c.Provider == p.Provider {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		at := ""
		if c.Provider != "" {
			at = " at " + c.Provider
		}
		return ledger.PaymentRecord{}, fmt.Errorf("%w: --payment is %q, but no payment with this id was received%s", errRefused, c.Payment, at)
	case 1:
		return found[0], nil
	}
	return ledger.PaymentRecord{}, fmt.Errorf("%w: payment %s exists at %s (order %s) and at %s (order %s): add --provider", errUsage,
		c.Payment, found[0].Provider, found[0].OrderID, found[1].Provider, found[1].OrderID)
}

// parseAmount reads 49.99 of USD as 4999 minor units.
func parseAmount(flag, text, currency string) (checkout.Money, error) {
	amount, err := money.Parse(text, currency)
	if err != nil {
		if reason, ok := strings.CutPrefix(err.Error(), "the amount "); ok {
			return checkout.Money{}, fmt.Errorf("%s %s", flag, reason)
		}
		return checkout.Money{}, fmt.Errorf("%s: %w", flag, err)
	}
	if amount.Amount == 0 {
		return checkout.Money{}, fmt.Errorf("%s is %q, expected more than 0", flag, text)
	}
	return amount, nil
}

// identityTimeout limits the question for the caller's AWS identity.
const identityTimeout = 5 * time.Second

// operatorName returns the AWS identity with --stack, if AWS tells it, else the user's name on this machine.
func operatorName(env environment) string {
	if env.stack != "" {
		ctx, cancel := context.WithTimeout(env.ctx, identityTimeout)
		defer cancel()
		if account, err := config.LoadDefaultConfig(ctx); err == nil && account.Region != "" {
			caller, err := sts.NewFromConfig(account).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
			if err == nil && aws.ToString(caller.Arn) != "" {
				return aws.ToString(caller.Arn)
			}
		}
	}
	return userName()
}

// userName is $USER, or else the name of this process's user.
func userName() string {
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}
