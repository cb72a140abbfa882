// Command flashsale runs and operates a flash sale checkout. See `flashsale --help`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"flashsale/pkg/app"
	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

// The exit codes, which scripts may rely on.
const (
	exitOK      = 0
	exitRefused = 1 // refused: an audit that is not clean, a refused webhook, a change that is not allowed
	exitUsage   = 2 // an invalid command line or variable
	exitFailed  = 3 // failed: no database, no server
)

const description = `A checkout for limited-stock sales: products, two-minute holds, orders, idempotent payment webhooks, expiry.

Commands use the servers of MYSQL_DSN and CACHE_ADDR, or else the private ones below the nearest .local/ of this
directory and those above it, which flashsale run makes. With --stack NAME, operators' commands work on a deployed
stack. Exit codes: 0 done; 1 refused, the audit is not clean, or a simulated sale broke an invariant; 2 invalid command
line or variable; 3 failed (no database, no server).`

type cli struct {
	Stack string `help:"Work on this deployed CloudFormation stack, through its admin function. Uses your AWS credentials and region." placeholder:"NAME"`

	Run        runCmd        `cmd:"" help:"Serve the checkout on this machine: private servers, migrations, the HTTP API, a sweep every second."`
	Live       liveCmd       `cmd:"" help:"Serve a page for the operator, on this machine alone: stock, requests, money owed, orders; pause, end and change a sale."`
	Stop       stopCmd       `cmd:"" help:"Stop the servers of this directory: flashsale run, and its private database and cache."`
	Clean      cleanCmd      `cmd:"" help:"Delete .local/ of this directory: binaries, private servers and their data. Refuses while a process uses them."`
	Migrate    migrateCmd    `cmd:"" help:"Create or update the database: tables, routines and database users."`
	Product    productCmd    `cmd:"" help:"Create, change and list products, hide them, or end their sale."`
	Audit      auditCmd      `cmd:"" help:"Recompute every counter, order and payment from the rows and events, and report the money by currency. Exits with 1 on any broken invariant."`
	Holds      holdsCmd      `cmd:"" help:"List the active holds and unpaid orders, or release holds."`
	Shopper    shopperCmd    `cmd:"" help:"Block and unblock shoppers, and list the blocked ones."`
	Orders     ordersCmd     `cmd:"" help:"List orders, or cancel unpaid ones."`
	Order      orderCmd      `cmd:"" help:"Show everything that is known of one order: its hold, payments, refunds, disputes and events."`
	Refunds    refundsCmd    `cmd:"" help:"List the payments that owe money, or record money that went back outside of its provider."`
	Events     eventsCmd     `cmd:"" help:"List payment events that need a look: unmatched, unreadable, stored, reused, or of open disputes."`
	Unmatched  unmatchedCmd  `cmd:"" help:"List payment events whose order or payment is not known; the same as events --unmatched."`
	Token      tokenCmd      `cmd:"" help:"Print a token that signs a shopper in to flashsale run on this machine."`
	Buy        buyCmd        `cmd:"" help:"Buy from a running server, step by step, and show each request and response: product, hold, order, payment, order."`
	Webhook    webhookCmd    `cmd:"" help:"Send signed payment events as a payment provider does, or forward those that the checkout receives."`
	Simulate   simulateCmd   `cmd:"" help:"Play a flash sale with thousands of shoppers, watch it, check every invariant, and write a report."`
	OpenAPI    openapiCmd    `cmd:"" name:"openapi" help:"Print the HTTP contract as OpenAPI 3.1 (YAML)."`
	Version    versionCmd    `cmd:"" help:"Print the version of this command."`
	Help       helpCmd       `cmd:"" help:"Show the help of a command."`
	Completion completionCmd `cmd:"" help:"Print the script that completes commands and flags in bash, zsh or fish."`
	Complete   completeCmd   `cmd:"" hidden:"" help:"Print what can stand at the cursor; the script of flashsale completion calls it."`
	With       withCmd       `cmd:"" name:"with-servers" help:"Run a command with MYSQL_DSN and CACHE_ADDR set to the private servers, as make test does."`
}

// environment is the input of every command.
type environment struct {
	ctx    context.Context //nolint:containedctx // lives as long as the process
	config app.LocalConfig
	stack  string // --stack; empty: this machine's servers
	out    io.Writer
	stderr io.Writer // notes beside a list that a program reads
	log    *slog.Logger
}

// withoutConfig are the commands that only print what this program has built in, also while a variable is wrong.
var withoutConfig = []string{"help", "version", "openapi", "completion", "complete"}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c, kong.Name("flashsale"), kong.Description(description), kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}), kong.Exit(func(code int) { exit = code }),
		kong.Vars{"event_types": strings.Join(payments.StandardTypes(), ", ")})
	if err != nil {
		return fail(stderr, exitFailed, err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if exit >= 0 { // kong printed the help
		return exit
	}
	if err != nil {
		var parse *kong.ParseError
		if errors.As(err, &parse) {
			command = parse.Context
		}
		return fail(stderr, exitUsage, seeHelp(command, err))
	}
	if err := checkGiven(command); err != nil {
		return fail(stderr, exitUsage, seeHelp(command, err))
	}
	config, err := app.ReadLocalConfig()
	if err != nil && !slices.Contains(withoutConfig, command.Selected().Name) {
		return fail(stderr, exitUsage, err)
	}
	ctx, stop := untilStopped()
	defer stop()
	err = command.Run(environment{ctx: ctx, config: config, stack: c.Stack, out: output(stdout), stderr: stderr, log: logger(config.LogLevel)})
	var child *exitCode
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &child):
		return child.code
	case errors.Is(err, errNoReader):
		return exitFailed // quietly: the reader chose to end
	case errors.Is(err, errUsage):
		return fail(stderr, exitUsage, seeHelp(command, err))
	case errors.Is(err, errRefused), checkout.CodeOf(err) != "" && checkout.CodeOf(err) != checkout.CodeBusy:
		return fail(stderr, exitRefused, err)
	}
	return fail(stderr, exitFailed, err)
}

var (
	errUsage   = errors.New("not understood")
	errRefused = errors.New("refused")
)

// exitCode ends the program silently, with the exit code of a command that it ran.
type exitCode struct{ code int }

func (e *exitCode) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// fail prints an error in one line.
func fail(stderr io.Writer, code int, err error) int {
	fmt.Fprintln(stderr, "flashsale: "+oneLine(err)) //nolint:errcheck // a failure cannot be reported anywhere
	return code
}
