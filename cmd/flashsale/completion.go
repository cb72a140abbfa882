package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// completionScripts let each shell ask this program for the candidates: flashsale complete WORD…, where the last word is the one at
// the cursor. Each candidate is a line, with its help after a tab. Where there are none, the shell completes file names.
var completionScripts = map[string]string{
	"bash": `_flashsale() {
  local IFS=$'\n'
  COMPREPLY=($("${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
}
complete -o default -F _flashsale flashsale
`,
	"zsh": `#compdef flashsale
_flashsale() {
  local line
  local -a candidates
  for line in "${(@f)$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] && candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
  done
  if (( $#candidates )); then _describe flashsale candidates; else _files; fi
}
compdef _flashsale flashsale
`,
	"fish": `complete -c flashsale -a '(set -l words (commandline -opc); $words[1] complete -- $words[2..] (commandline -ct) 2>/dev/null)'
`,
}

// Run prints the script.
func (c completionCmd) Run(env environment) error {
	return write(env.out, "%s", completionScripts[c.Shell])
}

// Help says how to use the script.
func (completionCmd) Help() string {
	return `Put one line into the file that your shell reads at its start:

  bash, ~/.bashrc:                   source <(flashsale completion bash)
  zsh, ~/.zshrc after compinit:      source <(flashsale completion zsh)
  fish, ~/.config/fish/config.fish:  flashsale completion fish | source

The name flashsale must be found, so put its directory (.local/bin) into PATH, or write the path in this line.`
}

type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run prints the candidates for the last word.
func (c completeCmd) Run(env environment, app *kong.Kong) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		return nil
	}
	for _, found := range candidates(app.Model.Node, words[:len(words)-1], words[len(words)-1]) {
		help, _, _ := strings.Cut(found.help, ". ")
		if err := write(env.out, "%s\t%s\n", found.word, help); err != nil {
			return err
		}
	}
	return nil
}

// candidate is a word that can stand at the cursor.
type candidate struct{ word, help string }

// valuesOf are the values of flags that commands check themselves.
var valuesOf = map[string][]string{
	"type": payments.StandardTypes(),
	"status": {
		string(checkout.OrderPendingPayment), string(checkout.OrderPaid), string(checkout.OrderCancelled), string(checkout.OrderRefundDue), string(checkout.OrderRefunded),
	},
	"provider": {checkout.ProviderStandard, checkout.ProviderStripe},
}

// candidates returns what can follow the words before the cursor and begins with the current word.
func candidates(root *kong.Node, before []string, current string) []candidate {
	node, positionals := root, 0
	var flag *kong.Flag // waits for its value
	for _, word := range before {
		child := childOf(node, word)
		switch {
		case word == "=": // bash splits --flag=value
		case flag != nil:
			flag = nil
		case node.Passthrough || (len(node.Positional) > 0 && node.Positional[0].Passthrough):
			return nil // another command's words
		case strings.HasPrefix(word, "-"):
			name, _, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
			if flag = flagOf(node, name); flag != nil && (hasValue || flag.IsBool()) {
				flag = nil
			}
		case child != nil && child.Name == "help":
			node = root // its arguments are commands
		case child != nil:
			node = child
		default:
			positionals++
		}
	}
	if name, value, isFlag := strings.Cut(current, "="); isFlag && flag == nil {
		if flag = flagOf(node, strings.TrimLeft(name, "-")); flag == nil {
			return nil
		}
		return beginning(values(flag.Value), value, name+"=")
	}
	if current == "=" {
		current = ""
	}
	switch {
	case flag != nil:
		return beginning(values(flag.Value), current, "")
	case strings.HasPrefix(current, "-"):
		return beginning(flagsOf(node), current, "")
	case positionals == 0 && len(node.Children) > 0:
		return beginning(commandsOf(node), current, "")
	case positionals < len(node.Positional):
		return beginning(values(node.Positional[positionals]), current, "")
	}
	return nil
}

func beginning(all []candidate, with, prefix string) (some []candidate) {
	for _, c := range all {
		if strings.HasPrefix(c.word, with) {
			some = append(some, candidate{prefix + c.word, c.help})
		}
	}
	return some
}

func childOf(node *kong.Node, name string) *kong.Node {
	i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return node.Children[i]
}

func commandsOf(node *kong.Node) (all []candidate) {
	for _, n := range node.Children {
		if !n.Hidden {
			all = append(all, candidate{n.Name, n.Help})
		}
	}
	return all
}

// flags are those of a command, of its default command and of those above it.
func flags(node *kong.Node) (all []*kong.Flag) {
	groups := node.AllFlags(true)
	if node.DefaultCmd != nil {
		groups = node.DefaultCmd.AllFlags(true)
	}
	return slices.Concat(groups...)
}

func flagOf(node *kong.Node, name string) *kong.Flag {
	all := flags(node)
	if i := slices.IndexFunc(all, func(f *kong.Flag) bool { return f.Name == name }); i >= 0 {
		return all[i]
	}
	return nil
}

func flagsOf(node *kong.Node) (all []candidate) {
	for _, f := range flags(node) {
		all = append(all, candidate{"--" + f.Name, f.Help})
	}
	return all
}

func values(v *kong.Value) (all []candidate) {
	list := valuesOf[v.Name]
	if v.Enum != "" {
		list = strings.Split(v.Enum, ",")
	}
	for _, word := range list {
		if word != "" {
			all = append(all, candidate{word: word})
		}
	}
	return all
}
