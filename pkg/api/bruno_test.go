package api_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"flashsale/pkg/api"
)

var update = flag.Bool("update", false, "rewrite docs/bruno")

const brunoFolder = "../../docs/bruno"

// The collection has a request for each operation of the document, and no others.
func TestBrunoCollection(t *testing.T) {
	t.Parallel()
	document, operations, err := api.Contract()
	if err != nil {
		t.Fatal(err)
	}
	want := brunoCollection(document, operations)
	for _, op := range operations {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(name string) bool { return strings.HasSuffix(name, "-"+op.OperationID+".bru") }) {
			t.Errorf("the collection lacks %s", op.OperationID)
		}
	}
	if *update {
		writeCollection(t, want)
	}
	got := map[string]string{}
	for _, pattern := range []string{"*.*", "environments/*.bru"} {
		paths, err := filepath.Glob(filepath.Join(brunoFolder, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name, _ := filepath.Rel(brunoFolder, path)
			got[filepath.ToSlash(name)] = string(text)
		}
	}
	if !maps.Equal(got, want) {
		t.Error("docs/bruno is stale: run make generate")
	}
}

func writeCollection(t *testing.T, files map[string]string) {
	t.Helper()
	if err := os.RemoveAll(brunoFolder); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(brunoFolder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// brunoFirst are the operations of a purchase, which can run one after the other. The other operations follow.
var brunoFirst = []string{"list-products", "get-product", "place-hold", "get-hold", "create-order", "receive-payment-event", "get-order"}

func brunoCollection(document *huma.OpenAPI, operations []*huma.Operation) map[string]string {
	files := map[string]string{
		"bruno.json": `{
  "version": "1",
  "name": "` + document.Info.Title + `",
  "type": "collection"
}
`,
		"collection.bru":         brunoSignIn,
		"environments/local.bru": brunoEnvironment,
	}
	place := func(op *huma.Operation) int {
		if i := slices.Index(brunoFirst, op.OperationID); i >= 0 {
			return i
		}
		return len(brunoFirst)
	}
	operations = slices.SortedStableFunc(slices.Values(operations), func(a, b *huma.Operation) int { return place(a) - place(b) })
	for i, op := range operations {
		files[fmt.Sprintf("%02d-%s.bru", i+1, op.OperationID)] = brunoRequest(document, op, i+1)
	}
	return files
}

func brunoRequest(document *huma.OpenAPI, op *huma.Operation, number int) string {
	resource := strings.TrimSuffix(strings.Split(op.Path, "/")[1], "s")
	path := strings.ReplaceAll(op.Path, "{id}", "{{"+resource+"_id}}")
	mode, body := "none", ""
	if strings.HasPrefix(op.Path, "/payments/") {
		mode = "text" // the script sets the body, because it signs its bytes
	} else if op.RequestBody != nil {
		mode = "json"
		example := map[string]any{}
		for name, property := range document.Components.Schemas.SchemaFromRef(op.RequestBody.Content["application/json"].Schema.Ref).Properties {
			example[name] = property.Examples[0]
			if strings.HasSuffix(name, "_id") {
				example[name] = "{{" + name + "}}"
			}
		}
		text, _ := json.MarshalIndent(example, "  ", "  ") // strings and numbers cannot fail
		body = "\nbody:json {\n  " + string(text) + "\n}\n"
	}
	return fmt.Sprintf("meta {\n  name: %s\n  type: http\n  seq: %d\n}\n\n%s {\n  url: {{url}}%s\n  body: %s\n  auth: none\n}\n",
		op.Summary, number, strings.ToLower(op.Method), path, mode) + body + brunoExtras[op.OperationID] +
		"\ndocs {\n  " + strings.ReplaceAll(op.Description, "\n\n", "\n\n  ") + "\n}\n"
}

const brunoSignIn = `script:pre-request {
  const token = bru.getEnvVar("token");
  if (token) req.setHeader("Authorization", "Bearer " + token);
}

docs {
  Start the server with "make run" and choose the environment "local". Run the first seven requests in their order to buy something.

  Set webhook_secret to the contents of .local/webhook-secret, and token to the output of "flashsale token ada" to be signed in.
}
`

const brunoEnvironment = `vars {
  url: http://127.0.0.1:8080/v1
  product_id: demo
}
vars:secret [
  webhook_secret,
  stripe_secret,
  token
]
`

// brunoExtras has what a request needs beyond the document: variables that later requests use, and signatures.
var brunoExtras = map[string]string{
	"place-hold": `
headers {
  Idempotency-Key: {{$randomUUID}}
}

vars:post-response {
  hold_id: res.body.id
}
`,
	"create-order": `
vars:post-response {
  order_id: res.body.id
  amount: res.body.amount.amount
  currency: res.body.amount.currency
}
`,
	"receive-payment-event": `
script:pre-request {
  const { HmacSHA256, enc } = require("crypto-js");
  const order = bru.getVar("order_id"), id = "evt_" + order, at = Math.floor(Date.now() / 1000);
  const body = JSON.stringify({
    type: "payment.succeeded",
    timestamp: new Date().toISOString(),
    data: { payment_id: "pay_" + order, order_id: order, amount: Number(bru.getVar("amount")), currency: bru.getVar("currency") },
  });
  const key = enc.Base64.parse(String(bru.getEnvVar("webhook_secret")).replace("whsec_", ""));
  req.setHeader("webhook-id", id);
  req.setHeader("webhook-timestamp", String(at));
  req.setHeader("webhook-signature", "v1," + enc.Base64.stringify(HmacSHA256(id + "." + at + "." + body, key)));
  req.setBody(body);
}
`,
	"receive-stripe-event": `
script:pre-request {
  const { HmacSHA256, enc } = require("crypto-js");
  const order = bru.getVar("order_id"), at = Math.floor(Date.now() / 1000);
  const body = JSON.stringify({
    id: "evt_" + order,
    type: "payment_intent.succeeded",
    created: at,
    livemode: false,
    data: { object: {
      id: "pi_" + order, amount_received: Number(bru.getVar("amount")), currency: String(bru.getVar("currency")).toLowerCase(),
      metadata: { order_id: order },
    } },
  });
  const signature = HmacSHA256(at + "." + body, String(bru.getEnvVar("stripe_secret")));
  req.setHeader("Stripe-Signature", "t=" + at + ",v1=" + enc.Hex.stringify(signature));
  req.setBody(body);
}
`,
}
