package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/money"
)

type refundsCmd struct {
	List   refundsListCmd   `cmd:"" default:"withargs" help:"List the payments that owe money (the default)."`
	Record refundsRecordCmd `cmd:"" help:"Record money of a payment that went back outside of its provider, such as by bank transfer."`
}

type refundsListCmd struct {
	JSON bool `help:"Print the list as JSON."`
}

// Run lists the money that the shop owes its customers.
func (c refundsListCmd) Run(env environment) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		owed, err := op.Owed(ctx, admin.MaxListed)
		if err != nil {
			return err
		}
		total, sums := 0, []string{}
		for _, t := range owed.Totals {
			total += t.Payments
			sums = append(sums, fmt.Sprintf("%s in %d payments", money.Format(t.Owed), t.Payments))
		}
		err = printList(env, c.JSON, owed.Payments, total, "No money is owed.", "ORDER\tOWED\tREASON\tPROVIDER\tPAYMENT\tSINCE", func(p ledger.OwedPayment) string {
			return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", p.OrderID, money.Format(p.Owed), p.Reason, p.Provider, p.PaymentID, p.Since.Format(time.RFC3339))
		})
		if err != nil || c.JSON || total == 0 {
			return err
		}
		return write(env.out, "Owed: %s.\n", strings.Join(sums, ", "))
	})
}

type refundsRecordCmd struct {
	Payment  string `required:"" help:"The provider's id of the payment." placeholder:"ID"`
	Provider string `help:"The provider of the payment (default: the one that has it)." placeholder:"standard|stripe"`
	Amount   string `required:"" help:"What went back, in the payment's currency, such as 49.99." placeholder:"49.99"`
	Note     string `required:"" help:"How it went back, for the record." placeholder:"TEXT"`
	Operator string `help:"Your name, for the record (default: $USER)." placeholder:"NAME"`
}

// Run records a return. The record's id is made once, so that a repeated call records nothing twice.
func (c refundsRecordCmd) Run(env environment) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		payment, err := c.find(ctx, op)
		if err != nil {
			return err
		}
		amount, err := money.Parse(c.Amount, payment.Currency)
		if err != nil {
			return fmt.Errorf("%w: --amount: %w", errUsage, err)
		}
		operator := c.Operator
		if operator == "" {
			operator = os.Getenv("USER")
		}
		if _, err := op.RecordRefund(ctx, checkout.RefundRecord{
			ID: "record:" + uuid.NewString(), Provider: payment.Provider, PaymentID: c.Payment, Amount: amount.Amount, Note: c.Note, Operator: operator,
		}); err != nil {
			return err
		}
		return write(env.out, "Recorded: %s of payment %s (%s) went back.\n", money.Format(amount), c.Payment, payment.Provider)
	})
}

func (c refundsRecordCmd) find(ctx context.Context, op admin.Operator) (ledger.PaymentName, error) {
	payments, err := op.PaymentProviders(ctx, c.Payment)
	if err != nil {
		return ledger.PaymentName{}, err
	}
	var found []ledger.PaymentName
	for _, p := range payments {
		if c.Provider == "" || c.Provider == p.Provider {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return ledger.PaymentName{}, fmt.Errorf("%w: no payment with the id %s was received", errRefused, c.Payment)
	case 1:
		return found[0], nil
	}
	return ledger.PaymentName{}, fmt.Errorf("%w: %s and %s both have a payment with this id; give --provider", errUsage, found[0].Provider, found[1].Provider)
}
