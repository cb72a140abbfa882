// Package localserver is the server of `flashsale run`. Beside the API it serves /healthz, /metrics, /openapi.yaml and
// /docs, and it runs the sweeps and audits that the expire function runs on AWS.
package localserver
