package command

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flashsale/internal/shoptest"
)

// The terminal of `make run` closes. The kernel tells make, not the server.
func TestClosedTerminalStopsTheServers(t *testing.T) {
	t.Parallel()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	d := shoptest.NewDesk(t)
	command := d.Command(t, "with-servers", "--", "sleep", "600")
	command.Stdin = terminal
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_ = terminal.Close()
	isSleep := func(p string) bool {
		return strings.HasSuffix(p, " sleep 600 ") && !strings.Contains(p, "with-servers")
	}
	for !slices.ContainsFunc(d.Processes(), isSleep) {
		time.Sleep(10 * time.Millisecond) // until the servers and the command run
	}
	_ = master.Close()
	_ = command.Wait() // until the test's own time limit
	if left := d.Processes(); len(left) > 0 {
		t.Errorf("processes %v are left, expected none", left)
	}
}
