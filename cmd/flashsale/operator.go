package main

import (
	"context"
	"errors"
	"fmt"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// withOperator runs do on the deployed stack of --stack, or else on a database that this machine can reach, as the
// application's user. It migrates a private database first, but never one that was given.
func withOperator(env environment, do func(ctx context.Context, op admin.Operator) error) error {
	if env.stack != "" {
		s, err := findStack(env.ctx, env.stack)
		if err != nil {
			return err
		}
		op, err := s.operator(func(context.Context) string { return operatorName(env) })
		if err != nil {
			return err
		}
		return do(env.ctx, op)
	}
	return withLocal(env, do)
}

func withLocal(env environment, do func(ctx context.Context, op admin.Operator) error) (err error) {
	if err := checkShop(env); err != nil {
		return err
	}
	return onServers(env, do)
}

// withNewShop is withOperator for a command that makes a shop where there is none.
func withNewShop(env environment, do func(ctx context.Context, op admin.Operator) error) error {
	if env.stack != "" {
		return withOperator(env, do)
	}
	return onServers(env, do)
}

// onServers is withLocal without the look for a shop.
func onServers(env environment, do func(ctx context.Context, op admin.Operator) error) (err error) {
	s, err := openServers(env, databaseOnly)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.operate(env, do)
}

// operate runs do on the database. It migrates a private one first.
func (s *servers) operate(env environment, do func(ctx context.Context, op admin.Operator) error) (err error) {
	migrate := func(ctx context.Context) error { return ledger.Migrate(ctx, s.adminDSN) }
	if s.private {
		if err := migrate(env.ctx); err != nil {
			return err
		}
	}
	l, err := ledger.Open(s.appDSN, checkout.NoRecorder{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	who := func(context.Context) string { return operatorName(env) }
	return do(env.ctx, admin.Logged{
		Operator: admin.Local{Ledger: l, Migration: migrate, Stripe: env.config.UsesStripe(), Who: who},
		Logger:   env.log, Who: who, Product: l.Product,
	})
}

type migrateCmd struct{ jsonFlag }

// Run creates or updates the database.
func (c migrateCmd) Run(env environment) error {
	return withNewShop(env, func(ctx context.Context, op admin.Operator) error {
		if err := op.Migrate(ctx); err != nil {
			return err
		}
		return c.print(env, map[string]bool{"up_to_date": true}, "The database is up to date.\n")
	})
}

// localOnly refuses --stack for a command that works on this machine only.
func localOnly(env environment) error {
	if env.stack != "" {
		return fmt.Errorf("%w: this command works on this machine only, without --stack", errUsage)
	}
	return nil
}
