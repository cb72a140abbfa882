package main

import (
	"context"
	"errors"
	"fmt"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// withOperator runs do on the checkout that the command line means: the deployed stack of --stack, else a database that
// can be reached from here, as the application's user. The private database is migrated first; one that was given is
// its operator's.
func withOperator(env environment, do func(ctx context.Context, op admin.Operator) error) error {
	if env.stack != "" {
		s, err := findStack(env.ctx, env.stack)
		if err != nil {
			return err
		}
		op, err := s.operator()
		if err != nil {
			return err
		}
		return do(env.ctx, op)
	}
	return withLocal(env, do)
}

func withLocal(env environment, do func(ctx context.Context, op admin.Operator) error) (err error) {
	s, err := openServers(env, databaseOnly)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
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
	return do(env.ctx, admin.Local{Ledger: l, Migration: migrate})
}

type migrateCmd struct{}

func (migrateCmd) Run(env environment) error {
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		if err := op.Migrate(ctx); err != nil {
			return err
		}
		return write(env.out, "The database is up to date.\n")
	})
}

// localOnly refuses --stack for what makes no sense with it.
func localOnly(env environment) error {
	if env.stack != "" {
		return fmt.Errorf("%w: this command works on this machine only, not on a --stack", errUsage)
	}
	return nil
}
