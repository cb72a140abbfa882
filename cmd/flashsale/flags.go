package main

import (
	"fmt"
	"net"
	"net/url"
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

// jsonFlag is the flag of commands whose result is one object.
type jsonFlag struct {
	JSON bool `help:"Print the result as JSON."`
}

// print prints the result of a command, as JSON or as a line.
func (f jsonFlag) print(env environment, result any, line string, args ...any) error {
	if f.JSON {
		return printJSON(env.out, result)
	}
	return write(env.out, line, args...)
}

// checkTarget asks for --yes before a command that takes units of another machine's shop. does says what it does there.
func checkTarget(env environment, server string, yes bool, does string) error {
	where, here := "the stack "+env.stack, env.stack == ""
	if server != "" {
		u, err := url.Parse(server)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return fmt.Errorf("--url is %q, expected the server's address alone, such as http://127.0.0.1:8080", server)
		}
		where, here = server, here && isLoopback(u.Hostname())
	}
	if !here && !yes {
		return fmt.Errorf("this %s %s, which is not this machine: add --yes to do it", does, where)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
