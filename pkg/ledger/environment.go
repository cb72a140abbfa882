package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"

	"github.com/go-sql-driver/mysql"
)

// Environment identifies the ledger's database by its address and name. Every process that reaches the database at the
// same address gets the same text. It is empty for a ledger made by New.
func (l *Ledger) Environment() string { return l.environment }

// environment makes the text of Environment. A loopback address or a socket means another database on each machine, so
// the machine's name takes its place.
func environment(cfg *mysql.Config) string {
	host, port, err := net.SplitHostPort(cfg.Addr)
	if err != nil { // a socket
		host, port = "localhost", cfg.Addr
	}
	if ip := net.ParseIP(host); host == "localhost" || (ip != nil && ip.IsLoopback()) {
		machine, _ := os.Hostname() // without a name, only databases on several machines could share keys
		host = "localhost of " + machine
	}
	digest := sha256.Sum256([]byte(cfg.Net + "\n" + host + "\n" + port + "\n" + cfg.DBName))
	return hex.EncodeToString(digest[:8])
}
