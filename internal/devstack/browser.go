package devstack

import (
	"context"
	"errors"
)

// browserNames are the file names of Chromium and of browsers that are driven in the same way.
var browserNames = []string{"chromium", "google-chrome-stable", "google-chrome", "chromium-browser"}

var errNoBrowser = errors.New("no Chromium or Chrome is installed")

// browserPackages has Debian's package alone. Ubuntu's is a snap, and its machines in CI have Chrome.
var browserPackages = packages{advice: "install chromium or google-chrome", sets: [][]string{{"chromium"}}}

// Browser returns the path of a browser for tests of pages. It installs Chromium with apt-get where none is present.
func Browser(ctx context.Context, log func(format string, args ...any)) (path string, err error) {
	find := func(context.Context) error {
		for _, name := range browserNames {
			if path, err = lookPath(name); err == nil {
				return nil
			}
		}
		return errNoBrowser
	}
	if missing := find(ctx); missing != nil {
		if err := aptInstall(ctx, missing, browserPackages, find, log); err != nil {
			return "", err
		}
	}
	return path, nil
}
