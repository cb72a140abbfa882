// Every sentence that depends on a state or a refusal, in plain words.
import type { Order, Product, Refusal } from './api.ts'
import { money, units } from 'web/money.ts'

const at = (time: string) => new Date(time).toLocaleString('en', { dateStyle: 'medium', timeStyle: 'short' })

export function stockText(p: Product): string {
  if (p.available_stock > 0) return `${p.available_stock.toLocaleString('en')} of ${p.stock.toLocaleString('en')} left`
  return p.reserved_stock > 0 ? 'All reserved. Some may return.' : 'Sold out'
}

/** Turns a refusal into what the shopper can do. */
export function refusalText(r: Refusal, name = 'this product'): string {
  const p = r.problem
  switch (r.code) {
    case 'sold_out':
      if (p.available_stock) return `Only ${units(p.available_stock)} of ${name} left. Choose fewer.`
      return p.reserved_stock ? `All of ${name} is reserved at the moment. Some may return, so try again soon.` : `${name} is sold out.`
    case 'sale_not_started': return p.sale_starts_at ? `The sale starts on ${at(p.sale_starts_at)}.` : 'The sale has not started yet.'
    case 'sale_ended': return 'The sale has ended.'
    case 'qty_over_limit': return p.detail ?? 'That is more than you can reserve at once.'
    case 'shopper_limit':
      return p.max_per_shopper ? `You can have at most ${p.max_per_shopper} of ${name}, and you have ${p.yours ?? 0}.` : `You cannot reserve ${name}.`
    case 'unauthenticated': return 'Please sign in first.'
    case 'hold_expired': return 'Your reservation has run out, so it could not be ordered.'
    case 'hold_released': return 'You gave this reservation back.'
    case 'hold_ordered': return 'You have ordered this already.'
    case 'order_not_cancellable': return 'This order can no longer be cancelled.'
    case 'product_not_found': return 'This product is not on sale any more.'
    case 'hold_not_found': case 'order_not_found': return 'This belongs to another shopper, or no longer exists.'
    case 'busy': return 'The shop is very busy. Please try again in a moment.'
    case '': return r.problem.status ? r.message : 'The shop cannot be reached. Check your connection and try again. Nothing is bought twice.'
    default: return r.message
  }
}

export interface Standing { title: string, detail: string, tone: 'wait' | 'good' | 'bad' }

/** What an order's status means for the shopper. */
export function orderText(o: Order): Standing {
  switch (o.status) {
    case 'pending_payment': return { title: 'Waiting for your payment', detail: 'Your units are kept until the time runs out.', tone: 'wait' }
    case 'paid': return { title: 'Paid. It’s yours!', detail: `We received ${money(o.amount)}. Thank you.`, tone: 'good' }
    case 'refunded': return { title: 'Refunded', detail: 'Your money is on its way back to you.', tone: 'bad' }
    case 'refund_due':
      return o.reason === 'amount_mismatch'
        ? { title: 'Wrong amount', detail: 'The payment was not the price of the order. You get all of it back.', tone: 'bad' }
        : { title: 'Paid too late', detail: 'Your payment came when no units were left. You get all of it back.', tone: 'bad' }
    case 'cancelled':
      if (o.reason === 'payment_timeout') return { title: 'Not paid in time', detail: 'The order has ended, and its units went back on sale.', tone: 'bad' }
      if (o.reason === 'payment_failed') return { title: 'Payment failed', detail: 'You were not charged. The order has ended.', tone: 'bad' }
      return { title: 'Cancelled', detail: 'You cancelled this order. You were not charged.', tone: 'bad' }
  }
}

const results: Record<string, string> = {
  duplicate: 'duplicate, so nothing changed', ignored: 'ignored, so nothing changed', unmatched: 'unmatched, so it waits for its payment',
}

/** What the webhook said about each delivery of the sandbox. */
export function deliveredText(delivered: { result: string }[]): string {
  const said = delivered.map(d => results[d.result] ?? d.result)
  return said.length === 1 ? `The webhook’s response: ${said[0]}.` : `First delivery: ${said[0]}. Second delivery: ${said[1]}.`
}
