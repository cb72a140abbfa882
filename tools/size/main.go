// Command size prints the size of each function that `sam build` has built, plain and zipped, and its processor. Every
// function must be static, built for the expected processor, and at most 4 MiB zipped, because a cold start begins with
// fetching the zip.
package main

import (
	"compress/flate"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	mib       = 1 << 20
	zipLimit  = 4 * mib
	binaryRow = "%-20s %12s %12s  %-10s %s\n"
)

func main() {
	machine := flag.String("arch", "arm64", "expected processor of the functions: arm64 or amd64")
	flag.Parse()
	if err := run(*machine, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "size: "+err.Error())
		os.Exit(1)
	}
}

func run(machine, build string) error {
	binaries, err := filepath.Glob(filepath.Join(build, "*", "bootstrap"))
	if err != nil || len(binaries) == 0 {
		return fmt.Errorf("found no function in %s: run `sam build` first", build)
	}
	fmt.Printf(binaryRow, "function", "binary MiB", "zipped MiB", "processor", "linking")
	var faults []error
	for _, path := range binaries {
		b, err := inspect(path)
		if err != nil {
			return err
		}
		linking := "static, no CGO"
		if !b.static {
			linking = "NOT STATIC"
		}
		name := filepath.Base(filepath.Dir(path))
		fmt.Printf(binaryRow, name, inMiB(b.size), inMiB(b.zipped), b.machine, linking)
		if !b.static || b.machine != machine || b.zipped > zipLimit {
			faults = append(faults, fmt.Errorf("%s: expected a static binary for %s of at most %d MiB zipped", name, machine, zipLimit/mib))
		}
	}
	return errors.Join(faults...)
}

type binary struct {
	size, zipped int64
	machine      string // GOARCH
	static       bool   // no interpreter, no shared library, no CGO
}

func inspect(path string) (binary, error) {
	var b binary
	file, err := os.Open(path)
	if err != nil {
		return b, err
	}
	defer file.Close()
	program, err := elf.NewFile(file)
	if err != nil {
		return b, fmt.Errorf("reading %s: %w", path, err)
	}
	built, err := buildinfo.Read(file)
	if err != nil {
		return b, fmt.Errorf("reading %s: %w", path, err)
	}
	b.static = true
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			b.static = false
		}
	}
	cgo := "1" // Go's default
	for _, setting := range built.Settings {
		switch setting.Key {
		case "GOARCH":
			b.machine = setting.Value
		case "CGO_ENABLED":
			cgo = setting.Value
		}
	}
	b.static = b.static && cgo == "0"
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return b, err
	}
	var zipped counter
	packer, err := flate.NewWriter(&zipped, flate.DefaultCompression) // SAM's level
	if err != nil {
		return b, err
	}
	if b.size, err = io.Copy(packer, file); err != nil {
		return b, fmt.Errorf("packing %s: %w", path, err)
	}
	err = packer.Close()
	b.zipped = int64(zipped)
	return b, err
}

// counter counts the bytes written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func inMiB(bytes int64) string { return fmt.Sprintf("%.2f", float64(bytes)/mib) }
