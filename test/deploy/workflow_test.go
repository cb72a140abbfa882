package deploy

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flashsale/internal/template"
)

// Go's vulnerability database knows modules. A go.mod that no step scans can keep a version with published advisories.
func TestWorkflowScansEveryModule(t *testing.T) {
	var modules []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "../.." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if d.Name() == "go.mod" {
			module, err := filepath.Rel("../..", filepath.Dir(path))
			modules = append(modules, module)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	workflow := template.Plain(t, template.Parse(t, "../../.github/workflows/ci.yml"))
	var scanned []string
	for _, step := range follow(workflow, "jobs.vulnerabilities.steps").([]any) {
		run, _ := template.At(step, "run").(string)
		if !strings.Contains(run, "govulncheck@") {
			continue
		}
		folder, _ := template.At(step, "working-directory").(string)
		scanned = append(scanned, filepath.Clean(folder))
	}
	for _, module := range modules {
		if !slices.Contains(scanned, module) {
			t.Errorf("%s/go.mod: expected govulncheck in this folder, found it in %v", module, scanned)
		}
	}
	if len(modules) < 3 {
		t.Errorf("expected the modules of the product, bench and tools, found %v", modules)
	}
}

// The tests build the previous release, and read its template, from this repository's history. A checkout has no history
// unless it asks for it.
func TestWorkflowChecksOutTheHistoryForTests(t *testing.T) {
	workflow := template.Plain(t, template.Parse(t, "../../.github/workflows/ci.yml"))
	jobs := 0
	for name, job := range follow(workflow, "jobs").(object) {
		depth, tests := any(nil), false
		for _, step := range template.At(job, "steps").([]any) {
			if use, _ := template.At(step, "uses").(string); strings.HasPrefix(use, "actions/checkout@") {
				depth = template.At(step, "with", "fetch-depth")
			}
			if run, _ := template.At(step, "run").(string); run == "make test" || run == "make test-all" {
				tests = true
			}
		}
		if tests {
			jobs++
		}
		if tests && depth != 0 {
			t.Errorf("%s: expected fetch-depth 0 for the tests of two releases, got %v", name, depth)
		}
	}
	if jobs != 2 {
		t.Errorf("expected 2 jobs that run the tests, found %d", jobs)
	}
}
