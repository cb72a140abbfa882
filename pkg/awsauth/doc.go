// Package awsauth signs a function in to the services it uses: IAM tokens instead of passwords for RDS Proxy and
// ElastiCache, always over TLS, and secrets from Secrets Manager.
//
// A token is a URL signed with the function's own credentials (Signature Version 4). Making one calls no service, so
// each new connection gets its own. A token is valid for 15 minutes, and only for opening connections. This package stores
// nothing, and calls no service before a connection or a secret is needed.
package awsauth
