// Package payments answers two questions about a payment provider's webhook: who sent this, and what does it mean.
//
// A provider tells us of a payment by POSTing an event, again and again until we answer 2xx, in any order. Each
// delivery is signed with a secret that the provider and we share. [Standard] reads the deliveries of every
// provider that follows Standard Webhooks (https://www.standardwebhooks.com), [Stripe] those of Stripe. Their
// method Event takes the headers and the raw body and returns a [checkout.PaymentEvent], or a refusal:
//
//	signature_invalid           headers missing or unreadable, or no secret of ours made the signature
//	timestamp_out_of_tolerance  rightly signed, but more than 5 minutes ago or ahead: a replay, or a wrong clock
//	malformed_request           rightly signed, but not one JSON object in UTF-8, or one that says a thing twice
//	invalid_request             Fields names every field that is missing or cannot be used, such as data.order_id
//
// What it promises:
//
//   - Not a byte of the body is parsed before its signature has been checked, over the bytes as they came in.
//   - Every secret is tried, so that an old and a new one can be valid side by side while a secret is rotated.
//   - An event whose [checkout.PaymentKind] moves an order is complete and well-formed. An event that moves
//     nothing ([checkout.PaymentOther]) is accepted whatever its data looks like, because a refusal would make
//     the provider send it for days and then switch the endpoint off.
//   - Texts of an event are at most 255 bytes of printable ASCII: they fit any column and cannot forge a log line.
//   - No error contains a secret, a signature or a part of a body.
//
// Both types are immutable and safe for concurrent use. [Rotating] is either of them with secrets that are read from
// where an operator rotates them, while the program runs.
package payments
