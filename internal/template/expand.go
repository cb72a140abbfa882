package template

import (
	"fmt"
	"strconv"
	"strings"
)

const forEach = "Fn::ForEach::"

// expand copies value with every Fn::ForEach replaced by its copies. loop has the current value of each loop's identifier.
func expand(value any, loop map[string]string) (any, error) {
	switch v := value.(type) {
	case string:
		return substitute(v, loop), nil
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			var err error
			if list[i], err = expand(item, loop); err != nil {
				return nil, err
			}
		}
		return list, nil
	case Object:
		return expandObject(v, loop)
	}
	return value, nil
}

func expandObject(o Object, loop map[string]string) (any, error) {
	if name, ok := o["Ref"].(string); ok && len(o) == 1 {
		if item, ok := loop[name]; ok {
			return item, nil
		}
	}
	out := Object{}
	put := func(key string, value any) error {
		if _, twice := out[key]; twice {
			return fmt.Errorf("%s is defined twice", key)
		}
		out[key] = value
		return nil
	}
	for key, value := range o {
		if strings.HasPrefix(key, forEach) {
			if err := expandLoop(key, value, loop, put); err != nil {
				return nil, err
			}
			continue
		}
		expanded, err := expand(value, loop)
		if err != nil {
			return nil, err
		}
		if err := put(substitute(key, loop), expanded); err != nil {
			return nil, err
		}
	}
	if text, ok := out["Fn::Sub"].(string); ok && len(loop) > 0 && !strings.Contains(text, "${") {
		return text, nil
	}
	return out, nil
}

func expandLoop(key string, value any, loop map[string]string, put func(string, any) error) error {
	parts, _ := value.([]any)
	if len(parts) != 3 {
		return fmt.Errorf("%s: expected identifier, collection and fragment", key)
	}
	identifier, named := parts[0].(string)
	items, listed := parts[1].([]any)
	if !named || !listed {
		return fmt.Errorf("%s: expected a literal identifier and a literal collection", key)
	}
	for _, item := range items {
		inner := map[string]string{identifier: fmt.Sprint(item)}
		for outer, current := range loop {
			inner[outer] = current
		}
		copied, err := expand(parts[2], inner)
		if err != nil {
			return err
		}
		fragment, ok := copied.(Object)
		if !ok {
			return fmt.Errorf("%s: expected a mapping as its fragment", key)
		}
		for k, v := range fragment {
			if err := put(k, v); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return nil
}

func substitute(text string, loop map[string]string) string {
	for identifier, item := range loop {
		text = strings.ReplaceAll(text, "${"+identifier+"}", item)
	}
	return text
}

// Resolve evaluates conditions, mappings and references to parameters in value, with the given parameters in place of
// their defaults. Everything else stays. Numbers become strings, as in CloudFormation; AWS::NoValue becomes nil.
func (t Template) Resolve(value any, parameters map[string]string) any {
	o, ok := value.(Object)
	if !ok || len(o) != 1 {
		if list, ok := value.([]any); ok {
			out := make([]any, len(list))
			for i, item := range list {
				out[i] = t.Resolve(item, parameters)
			}
			return out
		}
		if ok {
			return o
		}
		return scalar(value)
	}
	for function, argument := range o {
		switch list, _ := argument.([]any); function {
		case "Ref":
			return t.reference(fmt.Sprint(argument), parameters)
		case "Fn::FindInMap":
			path := []string{"Mappings"}
			for _, key := range list {
				path = append(path, fmt.Sprint(t.Resolve(key, parameters)))
			}
			return scalar(t.At(path...))
		case "Fn::If":
			if t.holds(Object{"Condition": list[0]}, parameters) {
				return t.Resolve(list[1], parameters)
			}
			return t.Resolve(list[2], parameters)
		case "Fn::Join":
			return join(list[0], t.Resolve(list[1], parameters))
		default:
			return Object{function: t.Resolve(argument, parameters)}
		}
	}
	return nil
}

// join joins a list. The value of a list parameter is one text, with commas.
func join(separator, value any) string {
	items, isList := value.([]any)
	if !isList {
		return strings.ReplaceAll(fmt.Sprint(value), ",", fmt.Sprint(separator))
	}
	var texts []string
	for _, item := range items {
		texts = append(texts, fmt.Sprint(item))
	}
	return strings.Join(texts, fmt.Sprint(separator))
}

func (t Template) reference(name string, parameters map[string]string) any {
	if name == "AWS::NoValue" {
		return nil
	}
	if given, ok := parameters[name]; ok {
		return given
	}
	if p := t.At("Parameters", name); p != nil {
		return scalar(At(p, "Default"))
	}
	return Object{"Ref": name}
}

// holds evaluates a condition.
func (t Template) holds(condition any, parameters map[string]string) bool {
	o, _ := condition.(Object)
	if name, ok := o["Condition"].(string); ok {
		return t.holds(t.At("Conditions", name), parameters)
	}
	if list, ok := o["Fn::Equals"].([]any); ok {
		return fmt.Sprint(t.Resolve(list[0], parameters)) == fmt.Sprint(t.Resolve(list[1], parameters))
	}
	if list, ok := o["Fn::Not"].([]any); ok {
		return !t.holds(list[0], parameters)
	}
	all, isAnd := o["Fn::And"].([]any)
	anyOf, isOr := o["Fn::Or"].([]any)
	if !isAnd && !isOr {
		panic(fmt.Sprintf("not a condition: %v", condition))
	}
	for _, c := range append(all, anyOf...) {
		if t.holds(c, parameters) == isOr {
			return isOr
		}
	}
	return isAnd
}

func scalar(value any) any {
	switch v := value.(type) {
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return value
}
