// Package awstest has stand-ins for three AWS services that add TLS and IAM in front of a database, a cache and secrets.
// Database and cache are real: each stand-in signs in to the server that the test names, and forwards what clients send.
//
//   - [RDSProxy] requires an IAM token in clear text inside TLS. It moves database connections from one statement to the
//     next, as RDS Proxy does, and records every statement that would prevent that (a pin).
//   - [ElastiCache] requires an IAM token as the password, and allows only the commands of its user.
//   - [SecretsManager] returns secrets to signed requests.
//
// They verify signatures (Signature Version 4) with their own code, not with the library that made them. An [Account] knows
// the keys, and an [Authority] signs the servers' certificates. Only AWS itself can show that its services do the same.
package awstest
