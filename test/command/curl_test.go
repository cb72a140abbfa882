package command

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// curlDir is a directory with a program curl, because a machine that runs the tests may have none: a link to this test.
func curlDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	test, err := os.Executable()
	if err == nil {
		err = os.Symlink(test, filepath.Join(dir, "curl"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// curl does what the README's lines need: curl -s or -si, a URL, -H and -d.
func curl(args []string) error {
	method, url, body := http.MethodGet, "", ""
	header, shown := http.Header{}, false
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-s", "-si":
			shown = args[i] == "-si"
		case "-H":
			i++
			name, value, _ := strings.Cut(args[i], ": ")
			header.Set(name, value)
		case "-d":
			i++
			method, body = http.MethodPost, args[i]
		default:
			url = args[i]
		}
	}
	request, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if shown {
		fmt.Println(response.Proto, response.Status)
		if err := response.Header.Write(os.Stdout); err != nil {
			return err
		}
		fmt.Println()
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}
