package main

import (
	"context"
	"encoding/json"
	"fmt"

	"flashsale/pkg/admin"
	"flashsale/pkg/ledger"
)

type auditCmd struct {
	JSON bool `help:"Print the result as JSON."`
}

func (c auditCmd) Run(env environment) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		audit, err := op.Audit(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			encoder := json.NewEncoder(env.out)
			encoder.SetIndent("", "  ")
			err = encoder.Encode(audit)
		} else {
			err = printAudit(env, audit)
		}
		if err == nil && !audit.Clean {
			err = fmt.Errorf("%w: the audit is not clean: %d broken invariants", errRefused, len(audit.Broken))
		}
		return err
	})
}

func printAudit(env environment, a ledger.Audit) error {
	if err := write(env.out, "Audited %d products, %d holds, %d orders, %d payment events.\n", a.Products, a.Holds, a.Orders, a.Events); err != nil {
		return err
	}
	for _, f := range a.Broken {
		if err := write(env.out, "BROKEN     %s  %s  %s\n", f.Check, f.Entity, f.Detail); err != nil {
			return err
		}
	}
	for _, f := range a.Attention {
		if err := write(env.out, "attention  %s  %s  %s\n", f.Check, f.Entity, f.Detail); err != nil {
			return err
		}
	}
	if !a.Clean {
		return nil
	}
	return write(env.out, "Clean: every counter and every invariant holds.\n")
}
