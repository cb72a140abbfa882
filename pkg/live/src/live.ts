// The page: it listens to the server, and redraws at most once a second.
import { byId, write } from 'web/dom.ts'
import { setDecimals } from 'web/money.ts'
import { Card } from './card.ts'
import { listen as listenToConfirm } from './confirm.ts'
import { Feed, type Listener, type Settings, type State, type StockSample, type TrafficSample } from './feed.ts'
import { listen as listenToForm } from './form.ts'
import { History } from './history.ts'
import { Orders } from './orders.ts'
import { Standing } from './standing.ts'
import { Traffic } from './traffic.ts'

const drawEvery = 1000 // milliseconds
const gather = 100 // milliseconds in which the events of one sample arrive

class Live implements Listener {
  private readonly past = new History()
  private readonly standing = new Standing()
  private readonly traffics = new Traffic(byId('charts'))
  private readonly orders = new Orders(byId('orders'), byId('no-orders'))
  private cards = new Map<string, Card>()
  private latest: State | undefined // what is not shown yet
  private drawn = -Infinity
  private due = 0

  start(): void {
    listenToConfirm()
    listenToForm()
    this.standing.connected(false)
    new Feed(this)
    setInterval(() => { if (!document.hidden) this.tick() }, 1000)
    document.addEventListener('visibilitychange', () => this.plan())
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      for (const chart of [...this.cards.values(), this.traffics]) chart.renew()
    })
  }

  settings(s: Settings): void {
    setDecimals(s.decimals)
    this.past.minutes = s.minutes
    write(byId('server'), s.title)
    write(byId('minutes'), `The last ${s.minutes} minutes.`)
    write(byId('traffic-hint'), s.traffic_every_s >= 60 ? 'Each point is one minute, and arrives one to two minutes late.' : '')
    document.title = `Live · ${s.title}`
  }

  history(h: Parameters<Listener['history']>[0]): void { this.past.replace(h); this.plan() }
  stock(s: StockSample): void { this.past.addStock(s); this.plan() }
  traffic(s: TrafficSample): void { this.past.addTraffic(s); this.plan() }
  state(s: State): void { this.latest = s; this.plan() }
  connected(live: boolean): void { this.standing.connected(live) }

  /** Plans a redraw: soon, but at most once a second, and never while the page is hidden. */
  private plan(): void {
    if (this.due || document.hidden) return
    this.due = window.setTimeout(() => {
      this.due = 0
      this.drawn = performance.now()
      this.show()
    }, Math.max(gather, this.drawn + drawEvery - performance.now()))
  }

  private show(): void {
    const state = this.latest
    this.latest = undefined
    if (state) {
      this.standing.show(state)
    }
    if (state && state.at > 0) {
      this.showProducts(state)
      const names = new Map(state.products.map(p => [p.id, p.name]))
      this.orders.show(state.orders, id => names.get(id) ?? id)
    }
    for (const card of this.cards.values()) card.draw(this.past)
    this.traffics.draw(this.past)
  }

  /** Keeps each card in its place, so that it does not move under the operator's hand. New ones come last. */
  private showProducts(s: State): void {
    const there = new Set(s.products.map(p => p.id))
    for (const [id, card] of this.cards) {
      if (there.has(id)) continue
      card.remove()
      this.cards.delete(id)
    }
    for (const p of s.products) {
      const card = this.cards.get(p.id)
      if (card) card.update(p)
      else {
        const added = new Card(p)
        this.cards.set(p.id, added)
        byId('products').append(added.element)
      }
    }
    byId('products').dataset.count = String(this.cards.size)
    byId('no-products').hidden = this.cards.size > 0
    write(byId('more-products'), s.more_products ? `${s.more_products.toLocaleString('en')} more products are not shown.` : '')
  }

  private tick(): void {
    this.standing.tick()
    this.orders.tick()
    for (const card of this.cards.values()) card.tick()
  }
}

new Live().start()
