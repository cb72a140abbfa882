package main

import (
	"fmt"
	"reflect"

	"github.com/alecthomas/kong"
)

// checkGiven refuses a flag or an argument whose value is empty, such as --shopper "$ID" where ID is not set. Commands take an
// empty value for an absent one, so it would select every shopper.
func checkGiven(command *kong.Context) error {
	for _, part := range command.Path {
		var given *kong.Value
		var name string
		switch {
		case part.Flag != nil:
			given, name = part.Flag.Value, "--"+part.Flag.Name
		case part.Positional != nil:
			given, name = part.Positional, "<"+part.Positional.Name+">"
		default:
			continue
		}
		if text := reflect.Indirect(given.Target); text.Kind() == reflect.String && text.String() == "" {
			return fmt.Errorf("%w: %s is empty, expected a value", errUsage, name)
		}
	}
	return nil
}
