package test

import (
	"testing"

	"flashsale/internal/template"
)

// object is a mapping of template.yaml.
type object = template.Object

func at(value any, keys ...string) any { return template.At(value, keys...) }

func readTemplate(t testing.TB) template.Template {
	t.Helper()
	return template.Read(t, "../template.yaml")
}

func ofType(t testing.TB, kind string) map[string]object {
	t.Helper()
	return readTemplate(t).OfType(t, kind)
}

func templateFunctions(t testing.TB) map[string]object {
	t.Helper()
	return readTemplate(t).Functions(t)
}

func templateRoutes(t testing.TB) map[string]string {
	t.Helper()
	return readTemplate(t).Routes(t)
}

func global(t testing.TB, keys ...string) any {
	t.Helper()
	return readTemplate(t).Global(keys...)
}
