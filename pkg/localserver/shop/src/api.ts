/*! It contains openapi-fetch; see openapi-fetch.LICENSE. */
// The client of the checkout API. Its paths, bodies and responses are typed by docs/openapi.yaml.
import createClient from 'openapi-fetch'
import type { components, paths } from './contract.d.ts'
import { observe } from 'web/clock.ts'

export type Product = components['schemas']['Product']
export type Hold = components['schemas']['Hold']
export type Order = components['schemas']['Order']
export type Problem = components['schemas']['Problem']

/** What the server offers beside the API: see settings in shop.go. */
export interface Settings {
  sandbox: boolean
  sign_in_by_name: boolean
  sign_in_needed: boolean
  decimals: Record<string, number>
}

export type Kind = 'pay' | 'pay_twice' | 'wrong_amount' | 'fail' | 'refund'

/** A refusal of the server, or a request without a response. */
export class Refusal extends Error {
  constructor(readonly problem: Partial<Problem>) {
    super(problem.detail ?? 'The server did not respond.')
  }
  get code(): string { return this.problem.code ?? '' }
  /** The request may have taken effect: only a repetition with the same ids tells. */
  get unclear(): boolean { return (this.problem.status ?? 0) === 0 || this.problem.status! >= 500 }
}

const tokenKey = 'shop.token'
export const token = {
  get: () => sessionStorage.getItem(tokenKey) ?? '',
  set: (text: string) => text ? sessionStorage.setItem(tokenKey, text) : sessionStorage.removeItem(tokenKey),
}

const timeout = 12_000 // milliseconds; longer than any request of the server

const client = createClient<paths>({
  baseUrl: '/v1',
  fetch: request => fetch(new Request(request, { signal: AbortSignal.timeout(timeout) })),
})
client.use({
  onRequest({ request }) {
    if (token.get()) request.headers.set('Authorization', `Bearer ${token.get()}`)
  },
})

/** Unwraps a response, and learns the server's time from it. */
async function result<T>(sent: Promise<{ data?: T, error?: unknown, response: Response }>): Promise<T> {
  let got
  try {
    got = await sent
  } catch {
    throw new Refusal({})
  }
  if (!got.response.ok) throw new Refusal({ status: got.response.status, ...got.error as object })
  return got.data as T
}

const params = (id: string) => ({ params: { path: { id } } })
const json = { 'Content-Type': 'application/json' } as const

async function seen(hold: Promise<Hold>): Promise<Hold> {
  observe(Date.parse((await hold).created_at))
  return hold
}

export const api = {
  async products(pages: number): Promise<{ products: Product[], more: boolean }> {
    const products: Product[] = []
    let cursor: string | undefined
    for (let page = 1; ; page++) {
      const got = await result(client.GET('/products', { params: { query: { limit: 20, cursor } } }))
      products.push(...got.data ?? [])
      for (const p of got.data ?? []) observe(Date.parse(p.as_of))
      if (!got.has_more || page >= pages) return { products, more: got.has_more }
      cursor = got.next_cursor ?? undefined
    }
  },
  /** The same key places the same hold, so a lost response costs the shopper nothing. */
  placeHold: (product_id: string, qty: number, key: string) =>
    seen(result(client.POST('/holds', { params: { header: { 'Idempotency-Key': key } }, body: { product_id, qty }, headers: json }))),
  hold: (id: string) => seen(result(client.GET('/holds/{id}', params(id)))),
  release: (id: string) => result(client.DELETE('/holds/{id}', params(id))),
  createOrder: (hold_id: string) => result(client.POST('/orders', { body: { hold_id }, headers: json })),
  order: (id: string) => result(client.GET('/orders/{id}', params(id))),
  cancel: (id: string) => result(client.POST('/orders/{id}/cancel', params(id))),
  /** The signed-in shopper's own, newest first. */
  async mine(): Promise<{ holds: Hold[], orders: Order[] }> {
    const [holds, orders] = await Promise.all([result(client.GET('/holds', {})), result(client.GET('/orders', {}))])
    return { holds: holds.data ?? [], orders: orders.data ?? [] }
  },
}

/** Calls a route of the local server that is not part of the contract. */
async function own<T>(path: string, body?: object): Promise<T> {
  const authorization: Record<string, string> = token.get() ? { Authorization: `Bearer ${token.get()}` } : {}
  return result((async () => {
    const response = await fetch(path, {
      method: body ? 'POST' : 'GET', body: body && JSON.stringify(body), headers: { ...json, ...authorization }, signal: AbortSignal.timeout(timeout),
    })
    const read = await response.json()
    return { data: read as T, error: read, response }
  })())
}

export const settings = () => own<Settings>('settings')
export const signIn = (name: string) => own<{ name: string, token: string }>('token', { name })
export const sandbox = (order_id: string, kind: Kind, payment_id = '') =>
  own<{ payment_id: string, delivered: { result: string }[] }>('sandbox', { order_id, kind, payment_id })
