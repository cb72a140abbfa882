// The server's stream of events, and the page's requests.
import { observe } from 'web/clock.ts'

export interface Money { amount: number, currency: string }

export interface Settings {
  title: string
  stock_every_s: number
  traffic_every_s: number
  minutes: number
  decimals: Record<string, number>
}

/** Units of each product: available, held, ordered, sold. Times are milliseconds since 1970. */
export interface StockSample { at: number, products: Record<string, [number, number, number, number]> }

/** Requests and refusals are per second; refusals by the problem's code. */
export interface TrafficSample {
  at: number
  requests: number
  refusals: Record<string, number>
  p50_ms: number | null
  p99_ms: number | null
  sweep_lag_s: number | null
}

export interface Product {
  id: string
  name: string
  price: Money
  stock: number
  available: number
  held: number
  ordered: number
  sold: number
  max_qty_per_hold: number
  max_per_shopper: number | null
  hidden: boolean
  sale_starts_at: string | null
  sale_ends_at: string | null
}

export interface Audit {
  state: 'clean' | 'broken' | 'unknown'
  broken: number
  findings: string[]
  changes_at: number | null
  full_at: number | null
}

export interface Order {
  id: string
  product_id: string
  qty: number
  amount: Money
  status: string
  reason: string
  reference: string
  created_at: number
  updated_at: number
}

export interface State {
  at: number // of the figures; 0: the server has none yet
  trouble: string
  products: Product[]
  more_products?: number
  owed: { payments: number, money: Money[] }
  audit: Audit
  orders: Order[]
}

export interface Listener {
  settings(s: Settings): void
  history(h: { stock: StockSample[], traffic: TrafficSample[] }): void
  stock(s: StockSample): void
  traffic(s: TrafficSample): void
  state(s: State): void
  connected(live: boolean): void
}

const patience = 5000 // milliseconds without an event until the figures count as old; longer if samples are rare
const giveUp = 30_000 // milliseconds more, after which the page opens a new stream

/** Listens to the server for as long as the page is open. */
export class Feed {
  private source: EventSource | undefined // none while the page is hidden
  private heard = performance.now()
  private opened = 0
  private patience = patience
  private live = false

  constructor(private readonly listener: Listener) {
    this.follow()
    document.addEventListener('visibilitychange', () => this.follow())
    setInterval(() => this.check(), 1000)
  }

  /** A browser opens six connections to a server, and each stream is one. So hidden pages have none, or a seventh page would never load. */
  private follow(): void {
    if (document.hidden) {
      this.source?.close()
      this.source = undefined
    } else if (!this.source) {
      this.heard = performance.now()
      this.open()
    }
  }

  private open(): void {
    this.source?.close()
    this.opened = performance.now()
    const source = this.source = new EventSource('events')
    const on = <T>(name: string, hear: (data: T) => void) => source.addEventListener(name, event => {
      this.heard = performance.now()
      this.tell(true)
      hear(JSON.parse((event as MessageEvent<string>).data) as T)
    })
    on<Settings>('settings', s => {
      this.patience = Math.max(patience, 3000 * s.stock_every_s)
      this.listener.settings(s)
    })
    on<Parameters<Listener['history']>[0]>('history', h => this.listener.history(h))
    on<StockSample>('stock', s => this.listener.stock(s))
    on<TrafficSample>('traffic', s => this.listener.traffic(s))
    on<State>('state', s => { observe(s.at); this.listener.state(s) })
    source.addEventListener('error', () => this.tell(false))
  }

  /** A stream can end without an error, as after a sleep of this machine. A browser does not retry every error. */
  private check(): void {
    if (!this.source) return
    const now = performance.now()
    if (now - this.heard > this.patience) this.tell(false)
    const closed = this.source.readyState === EventSource.CLOSED
    if (now - Math.max(this.heard, this.opened) > (closed ? patience : this.patience + giveUp)) this.open()
  }

  private tell(live: boolean): void {
    if (live === this.live) return
    this.live = live
    this.listener.connected(live)
  }
}

interface Problem { status?: number, detail?: string, errors?: { field: string, detail: string }[] }

/** A refusal by the server, or a request without a response. */
export class Refusal extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail ?? (problem.status ? `The server refused this with status ${problem.status}.` : 'The server did not respond. Check the figures before you try again.'))
  }
}

const timeout = 20_000 // milliseconds; a change of a stack may start a function first

async function send<T>(method: string, path: string, body: object): Promise<T> {
  let response
  try {
    response = await fetch(path, {
      method, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' }, signal: AbortSignal.timeout(timeout),
    })
  } catch {
    throw new Refusal({})
  }
  const read = await response.json().catch(() => ({})) as T & Problem
  if (!response.ok) throw new Refusal({ ...read, status: response.status })
  return read
}

/** The fields that the form can change; the server keeps the rest. An empty time and a limit of 0 mean none. */
export type Change = Partial<Pick<Product, 'name' | 'price' | 'stock' | 'max_qty_per_hold'>> &
  { max_per_shopper?: number, sale_starts_at?: string, sale_ends_at?: string }

const path = (id: string) => `products/${encodeURIComponent(id)}`

export const act = (id: string, what: 'pause' | 'resume' | 'end') => send<{ product: Product, changed: boolean }>('POST', `${path(id)}/${what}`, {})
export const change = (id: string, c: Change) => send<{ product: Product }>('PATCH', path(id), c)
