// The page: it keeps the products and the shopper's purchases up to date.
import { api, type Product, Refusal, settings, token } from './api.ts'
import { Catalogue, type Tell } from './catalogue.ts'
import { announce, button, byId, write } from 'web/dom.ts'
import { type Kept, type Page, Purchase } from './purchase.ts'
import { shopperName, SignIn } from './shopper.ts'
import { setDecimals } from 'web/money.ts'
import { refusalText } from './text.ts'

const pollEvery = 1000 // milliseconds; the server's own cache lasts a second
const tickEvery = 250

class Shop implements Page {
  private readonly catalogue = new Catalogue(byId('products'), (p, qty, tell) => this.buy(p, qty, tell))
  private readonly more = button('Show more products', 'plain', () => { this.pages++; return this.poll() })
  private readonly signIn: SignIn
  private purchases: Purchase[] = []
  private pages = 1
  private polling = false
  private lost = false // the connection, at the last poll
  private names: Record<string, string> = {}
  private keys: Record<string, string> = {} // of holds whose response was lost, by product and quantity

  constructor(offers: Awaited<ReturnType<typeof settings>>) {
    this.sandbox = offers.sandbox
    byId('sandbox-note').hidden = !offers.sandbox
    byId('more').append(this.more)
    this.signIn = new SignIn(offers, () => void this.restore())
  }

  readonly sandbox: boolean

  async start(): Promise<void> {
    await this.poll()
    await this.restore()
    setInterval(() => { if (!document.hidden) void this.poll() }, pollEvery)
    setInterval(() => this.tick(), tickEvery)
    document.addEventListener('visibilitychange', () => { if (!document.hidden) void this.poll() })
  }

  private tick(): void {
    this.catalogue.tick()
    for (const p of this.purchases) p.tick()
  }

  private async poll(): Promise<void> {
    for (const p of this.purchases) p.poll()
    if (this.polling) return
    this.polling = true
    try {
      const { products, more } = await api.products(this.pages)
      this.names = Object.fromEntries(products.map(p => [p.id, p.name]))
      this.catalogue.show(products)
      this.more.hidden = !more
      byId('empty').hidden = products.length > 0
      write(byId('offline'), '')
      if (this.lost) this.connected()
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      write(byId('offline'), refusalText(error))
      this.lost ||= error.code === ''
    } finally {
      this.polling = false
    }
  }

  /** Takes back what the cards say of a lost connection. A response that was lost alone is no reason: the shopper has to press again. */
  private connected(): void {
    this.lost = false
    this.catalogue.connected()
    for (const p of this.purchases) p.connected()
  }

  /** Reserves units. A press after a lost response uses the same key again, so it cannot reserve twice. */
  private async buy(product: Product, qty: number, tell: Tell): Promise<void> {
    if (product.available_stock + product.reserved_stock <= 0) return
    const what = `${shopperName()} ${product.id} ${qty}`
    const key = this.keys[what] ??= newKey()
    try {
      const hold = await api.placeHold(product.id, qty, key)
      delete this.keys[what]
      this.add({ name: product.name, hold, payments: [] }).focus()
      announce(`Reserved for you: ${product.name}. Order before the time runs out.`)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      if (!error.unclear && error.code !== 'busy') delete this.keys[what]
      if (error.code === 'unauthenticated') {
        token.set('')
        if (!this.signIn.offered) return tell(`${product.name} needs sign-in, which this shop does not offer.`)
        this.signIn.open(() => void this.buy(product, qty, tell))
      }
      tell(refusalText(error, product.name), error.code === 'sold_out' ? 'stock' : error.code === '' ? 'connection' : undefined)
    }
    this.refresh()
  }

  refresh(): void { void this.poll() }

  private add(kept: Kept): Purchase {
    const there = this.purchases.find(p => p.kept.hold.id === kept.hold.id)
    if (there) return there
    const purchase = new Purchase(kept, this)
    this.purchases.unshift(purchase)
    byId('purchases').prepend(purchase.element)
    this.keep()
    return purchase
  }

  remove(purchase: Purchase): void {
    const focused = purchase.element.contains(document.activeElement)
    this.purchases = this.purchases.filter(p => p !== purchase)
    purchase.element.remove()
    this.keep()
    if (focused) byId('purchases-title').focus()
  }

  /** Remembers the purchases of this shopper until the tab is closed: their ids are secrets. */
  keep(): void {
    sessionStorage.setItem(storage(), JSON.stringify(this.purchases.map(p => p.kept)))
    byId('no-purchases').hidden = this.purchases.length > 0
  }

  /** Shows what the tab remembers, and for a signed-in shopper also what the server knows. */
  private async restore(): Promise<void> {
    const kept = JSON.parse(sessionStorage.getItem(storage()) ?? '[]') as Kept[]
    this.purchases = []
    byId('purchases').replaceChildren()
    for (const one of kept.reverse()) this.add(one)
    this.keep()
    if (!token.get()) return
    try {
      const { holds, orders } = await api.mine()
      const name = (id: string) => this.names[id] ?? id
      const ofOrder = orders.map(order => ({ name: name(order.product_id), order, hold: asHold(order), payments: [] }))
      const ofHold = holds.filter(h => h.status === 'active').map(hold => ({ name: name(hold.product_id), hold, payments: [] }))
      const all: Kept[] = [...ofOrder, ...ofHold]
      for (const one of all.sort((a, b) => a.hold.created_at < b.hold.created_at ? -1 : 1)) this.add(one)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      if (error.code === 'unauthenticated') this.signIn.signOut()
    }
  }
}

const storage = () => `shop.purchases.${shopperName()}`

/** An order's hold, as far as the page needs it. */
const asHold = (o: Kept['order'] & object): Kept['hold'] =>
  ({ id: o.hold_id, product_id: o.product_id, qty: o.qty, status: 'ordered', created_at: o.created_at, expires_at: o.pay_by, order_id: o.id })

/** 128 random bits. randomUUID exists only on https and on this machine. */
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), b => b.toString(16).padStart(2, '0')).join('')

async function main(): Promise<void> {
  try {
    const offers = await settings()
    setDecimals(offers.decimals)
    await new Shop(offers).start()
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    write(byId('offline'), refusalText(error))
  }
}

void main()
