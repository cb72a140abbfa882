package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

// untilStopped returns a context that ends at the first SIGINT, SIGTERM or SIGHUP. Later ones only print a note: a
// process that ended at once would leave its servers behind. Every wait at the end of a command has a limit.
func untilStopped() (context.Context, func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it
		signal.Notify(signals, syscall.SIGHUP)
	}
	// The reader of a pipe may end first, as in `flashsale orders | head`. The write then returns EPIPE; without this, the
	// signal would end the process before it stops its servers.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go watchTerminal(ended, signals)
	go func() {
		for {
			select {
			case <-ended:
				return
			case <-signals:
			}
			if ctx.Err() != nil {
				progress("still stopping; Ctrl-\\ ends this process at once and may leave its servers running")
			}
			cancel()
		}
	}()
	return ctx, func() { close(ended); signal.Stop(signals); cancel() }
}

// watchTerminal sends SIGHUP when the terminal is closed. The kernel sends it to the terminal's own process alone, such as
// the make of `make run`, which then waits for this one.
func watchTerminal(ended <-chan struct{}, signals chan<- os.Signal) {
	var terminal int
	for terminal = 0; terminal <= 2 && !term.IsTerminal(terminal); terminal++ {
	}
	if terminal > 2 || signal.Ignored(syscall.SIGHUP) {
		return
	}
	for {
		select {
		case <-ended:
			return
		case <-time.After(time.Second):
		}
		if !term.IsTerminal(terminal) {
			signals <- syscall.SIGHUP
			return
		}
	}
}

var errNoReader = errors.New("the reader of the output has ended")

// pipe returns errNoReader if its reader has ended.
type pipe struct{ io.Writer }

func (p pipe) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		err = errNoReader
	}
	return n, err //nolint:wrapcheck // a writer's own error
}

// output leaves a terminal as it is: commands draw on it.
func output(stdout io.Writer) io.Writer {
	if f, ok := stdout.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice == 0 {
			return pipe{f}
		}
	}
	return stdout
}
