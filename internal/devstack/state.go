package devstack

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// state is the record of a directory's servers that its processes share. It is written only under start.lock.
type state struct {
	MySQL running `json:"mysql"`
	Cache running `json:"cache"`
}

// readState returns the zero state if no record can be read: running servers are found without it.
func readState(dir string) (state, error) {
	var st state
	b, err := os.ReadFile(statePath(dir))
	if err != nil {
		return state{}, fmt.Errorf("read state: %w", err)
	}
	if err := json.Unmarshal(b, &st); err != nil {
		return state{}, fmt.Errorf("read %s: %w", statePath(dir), err)
	}
	return st, nil
}

func (st state) write(dir string) error {
	b, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	return writeFile(statePath(dir), append(b, '\n'))
}

func statePath(dir string) string { return filepath.Join(dir, "state.json") }

// writeFile replaces a file in one step, readable by its owner only.
func writeFile(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = tmp.Write(b)
	if closed := tmp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the write's error is the one to report
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
