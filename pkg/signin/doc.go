// Package signin verifies the bearer tokens of shoppers for a server that has no API Gateway in front of it.
//
// A [Verifier] takes JSON Web Tokens (RFC 7519) of one issuer for one audience. Its [Keys] are a JSON Web Key Set (RFC 7517) that
// a [Source] reads: from a URL, from a file, or from where the issuer's OpenID discovery document says. Keys may be rotated while
// the server runs. [Development] is an issuer of its own, to try sign-in without an identity provider.
//
// The rules are those of API Gateway's JWT authorizer, so that a token has the same effect on AWS. Only tokens that are signed with
// ECDSA are accepted here and refused there. The Lambda functions do not link this package.
package signin
