package main

import (
	"encoding/json"
	"text/tabwriter"
)

// printList prints a table, or a JSON array, which may be empty. total is the length of the whole list.
func printList[T any](env environment, asJSON bool, list []T, total int, empty, head string, row func(T) string) error {
	if asJSON {
		return printJSON(env, append([]T{}, list...))
	}
	if len(list) == 0 {
		return write(env.out, "%s\n", empty)
	}
	table := tabwriter.NewWriter(env.out, 0, 0, 2, ' ', 0)
	if err := write(table, "%s\n", head); err != nil {
		return err
	}
	for _, entry := range list {
		if err := write(table, "%s\n", row(entry)); err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil || total <= len(list) {
		return err
	}
	return write(env.out, "… and %d more.\n", total-len(list))
}

func printJSON(env environment, v any) error {
	encoder := json.NewEncoder(env.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
