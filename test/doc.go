// Package test holds what crosses packages: the whole checkout over HTTP, on a real database and a real cache, in
// races and with its servers failing. Each test has a schema of its own.
package test
