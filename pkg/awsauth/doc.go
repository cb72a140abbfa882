// Package awsauth authenticates a function inside AWS. It makes IAM tokens in place of passwords for RDS Proxy and
// ElastiCache, always over TLS, and reads secrets from Secrets Manager.
//
// A token is a URL signed with the function's credentials (Signature Version 4). Each new connection gets its own, made
// without a network call. A token can open connections for 15 minutes. Nothing is stored, and no network call happens
// before the first connection or secret is needed.
package awsauth
