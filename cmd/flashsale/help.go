package main

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"flashsale/pkg/app"
)

// seeHelp points from an error to the help of its command.
func seeHelp(command *kong.Context, err error) error {
	path := "flashsale"
	if command != nil && command.Selected() != nil {
		path = command.Selected().FullPath()
	}
	return fmt.Errorf("%w (see %s --help)", err, path)
}

type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The command, such as product put."`
}

// Run shows the help of a command.
func (c helpCmd) Run(env environment) error {
	if code := run(append(c.Command, "--help"), env.out, env.stderr); code != exitOK {
		return &exitCode{code}
	}
	return nil
}

type versionCmd struct{ jsonFlag }

// version is what this program was built from, in the JSON of the command.
type version struct {
	Version     string `json:"version"`
	Commit      string `json:"commit,omitempty"`
	CommittedAt string `json:"committed_at,omitempty"`
	Modified    bool   `json:"modified"` // with changes that are not committed
	Go          string `json:"go"`
}

// Run prints what this program was built from.
func (c versionCmd) Run(env environment) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("this program has no build information")
	}
	v := version{Version: info.Main.Version, Go: info.GoVersion}
	commit, at, modified := "", "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Commit, commit = s.Value, ", commit "+s.Value
		case s.Key == "vcs.time":
			v.CommittedAt, at = s.Value, " of "+s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			v.Modified, modified = true, " with uncommitted changes"
		}
	}
	return c.print(env, v, "flashsale %s%s%s%s, %s\n", v.Version, commit, at, modified, v.Go)
}

// Help lists the variables in the help of `flashsale run`. Lines with an indent stay as they are.
func (runCmd) Help() string {
	text := &strings.Builder{}
	text.WriteString("Environment variables, with their defaults (docs/configuration.md explains them):\n\n")
	table := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	for _, v := range app.LocalVariables() {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", v.Name, v.Default, v.Help) //nolint:errcheck // a strings.Builder takes everything
	}
	_ = table.Flush() // see above
	return text.String()
}

// nearest returns the candidate that is a slip of the keyboard away from the text; none if there is no such candidate.
func nearest(text string, candidates []string) string {
	best, least := "", 4
	for _, c := range candidates {
		if d := editDistance(text, c); d < least && d < len(c)/2 {
			best, least = c, d
		}
	}
	return best
}

// editDistance counts the characters to insert, delete or replace that make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
