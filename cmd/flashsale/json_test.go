package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Each command whose output a script may read takes --json. The others serve, run programs, or print text of another format.
func TestCommandsPrintJSON(t *testing.T) {
	others := []string{"run", "stop", "clean", "simulate", "openapi", "help", "completion", "complete", "with-servers", "live"}
	app, err := kong.New(&cli{}, kong.Name("flashsale"), kong.Vars{"event_types": ""})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range app.Model.Leaves(false) {
		name := strings.TrimPrefix(command.Path(), "flashsale ")
		got := slices.ContainsFunc(command.Flags, func(f *kong.Flag) bool { return f.Name == "json" })
		if want := !slices.ContainsFunc(others, func(o string) bool { return name == o || strings.HasPrefix(name, o+" ") }); got != want {
			t.Errorf("flashsale %s has --json: %v, expected %v", name, got, want)
		}
	}
}
