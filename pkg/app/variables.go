package app

import (
	"reflect"
	"strings"
)

// Variable is an environment variable, for a help text.
type Variable struct{ Name, Default, Help string }

// LocalVariables lists the variables of LocalConfig. Their defaults and texts are the tags of the configuration's fields.
func LocalVariables() []Variable {
	var list []Variable
	for _, f := range reflect.VisibleFields(reflect.TypeFor[LocalConfig]()) {
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		if name == "" {
			continue // the embedded Config
		}
		v := Variable{Name: name, Default: f.Tag.Get("envDefault"), Help: f.Tag.Get("help")}
		if v.Default == "" {
			v.Default = f.Tag.Get("unset")
		}
		if v.Default == "" {
			v.Default = "none"
		}
		list = append(list, v)
	}
	return list
}
