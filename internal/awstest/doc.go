// Package awstest stands in for what AWS puts in front of a database, a cache and secrets: TLS, and a check of who signs
// in. What is behind is real: each stand-in signs in to the server that the test names and passes on what is said.
//
//   - [RDSProxy] asks for an IAM token in clear text inside TLS, hands connections of the database from one statement to
//     the next as RDS Proxy does, and notes every statement that would keep it from that (a pin).
//   - [ElastiCache] takes an IAM token for a password, and holds the client to the commands that its user may send.
//   - [SecretsManager] hands out secrets for requests that are signed.
//
// All of them check signatures with code of their own (Signature Version 4), not with the library that made them: an
// [Account] knows the keys, an [Authority] signs the servers' certificates. What only AWS can show stays open: whether its
// services ask for exactly this.
package awstest
