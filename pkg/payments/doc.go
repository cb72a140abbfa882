// Package payments verifies and reads the webhooks of payment providers.
//
// A provider reports a payment by POSTing an event, in any order, again and again until it gets a 2xx response. It signs
// each delivery with a shared secret. [Standard] reads the deliveries of every provider that follows Standard Webhooks
// (https://www.standardwebhooks.com), [Stripe] those of Stripe. The method Event takes the headers and the raw body, and
// returns a [checkout.PaymentEvent] or a refusal:
//
//	signature_invalid           headers missing or unreadable, or no configured secret made the signature
//	timestamp_out_of_tolerance  signed correctly, but more than 5 minutes ago or ahead: a replay, or a wrong clock
//	malformed_request           signed correctly, but not one JSON object in UTF-8
//	invalid_request             signed correctly, but a member occurs twice, or Fields names what is missing or invalid,
//	                            such as data.order_id
//
// The last two come in a [checkout.UnreadableError], so that the event can be kept for an operator.
//
// Promises:
//
//   - The signature is checked over the received bytes before any of them is parsed.
//   - Every secret is tried, so that an old and a new secret can both be valid during a rotation.
//   - Amounts are in the minor units of ISO 4217, however the provider writes them.
//   - An event whose [checkout.PaymentKind] says something about a payment is complete and well-formed. Any other event
//     ([checkout.PaymentOther]) is accepted whatever its data, because after a refusal the provider would send it for
//     days and then disable the endpoint.
//   - Strings of an event are at most 255 bytes of printable ASCII: they fit any column and cannot forge a log line.
//   - No error contains a secret, a signature or a part of a body.
//
// Both types are immutable and safe for concurrent use. [Rotating] wraps either of them and reloads its secrets, so that
// an operator can rotate them while the program runs.
package payments
