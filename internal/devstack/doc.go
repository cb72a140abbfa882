// Package devstack runs private database and cache servers for one directory: MariaDB (or MySQL) and Valkey
// (or Redis) on free loopback ports. It installs them with apt if they are missing, so a checkout of this project works
// on a bare Debian or Ubuntu. `make run`, the commands and the tests use it. On macOS the servers must be installed; the
// tests of this package need Linux, because they read /proc.
//
// # Stack: shared by the processes of a directory
//
// [Start] finds the running servers of its directory or starts them; [Stack.Close] ends this process's use,
// and the last user stops them. Data stays between runs. The directory holds
//
//	start.lock     exclusive while a process looks for the servers or starts them (flock)
//	use.lock       shared by every process that uses the servers; exclusive while the last one stops them
//	state.json     pid, start time and port of both servers
//	root-password  of the database's administrator, mode 0600, made at the first start
//	init.sql       runs at each start of the database, before it accepts connections: sets that password
//	mysql/         the database's data, and its socket mysql.sock
//	mysql-tmp/     its temporary tables
//	mysql.log      the database's output since its start (mysql.log.1: before that)
//	cache/         the cache's working directory; it saves nothing
//	cache.log      the cache's output
//
// Start takes start.lock, then its share of use.lock, and keeps the share. Close releases the share and tries to take
// use.lock exclusively, without waiting. If that works, no other process uses the servers, and none can start to until
// it has stopped them. The kernel drops the locks of a process that dies, so a `kill -9` leaves running servers but
// no stale lock, and the next Start takes those servers over.
//
// A pid in state.json is believed only if the process has the recorded start time and works in our directory
// (both servers change into theirs, and unlike a command line it cannot be overwritten). No other
// process is ever signalled.
//
// # MySQL and Cache: private to one test
//
// [StartMySQL] and [StartCache] start one server for the caller alone. A test can kill it, restart it on the same port,
// or pause the cache. On Linux the server dies with the process that started it.
package devstack
