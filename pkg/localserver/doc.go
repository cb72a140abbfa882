// Package localserver is what `flashsale run` serves beside the API: /healthz, /metrics, /openapi.yaml and /docs, and
// the sweep and the audit that EventBridge starts in the cloud.
package localserver
