// Package awsauth is how a function proves who it is inside AWS, and how it gets what only it may know: IAM tokens in
// place of passwords for RDS Proxy and for ElastiCache, always over TLS, and secrets from Secrets Manager.
//
// A token is a URL signed with the function's own credentials (Signature Version 4), made without any network call
// for each new connection; it is good for 15 minutes, in which it only opens connections. Nothing is stored, and
// nothing here talks to anybody before the first connection or secret is wanted.
package awsauth
