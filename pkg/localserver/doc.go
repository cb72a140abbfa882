// Package localserver is the server of `flashsale run`. Beside the API it serves /shop, /docs, /openapi.yaml,
// /healthz and /metrics, and it runs the sweeps and audits that the expire function runs on AWS.
package localserver
