// The products on sale, each a card that is built once and then kept up to date.
import { type Product } from './api.ts'
import { picture } from './art.ts'
import { countdown, type Sale, saleOf, secondsUntil, spoken } from 'web/clock.ts'
import { announce, button, el, write } from 'web/dom.ts'
import { money } from 'web/money.ts'
import { stockText } from './text.ts'

/** What a notice is about, if that can end it. */
export type About = 'stock' | 'connection'

export type Tell = (text: string, about?: About) => void
export type Buy = (product: Product, qty: number, tell: Tell) => Promise<void>

const low = 0.2 // share of the stock from which the page says that few are left

export class Card {
  readonly element: HTMLElement
  private readonly stock = el('p', { class: 'stock' })
  private readonly sold = el('span', { class: 'sold' })
  private readonly reserved = el('span', { class: 'reserved' })
  private readonly name = el('h2', {})
  private readonly price = el('p', { class: 'price' })
  private readonly badge = el('p', { class: 'badge', role: 'timer' })
  private readonly limit = el('p', { class: 'fine' })
  private readonly notice = el('p', { class: 'notice', role: 'alert' })
  private readonly qty: HTMLInputElement
  private readonly stepper: HTMLElement
  private readonly buy: HTMLButtonElement
  private sale: Sale
  private about: About | undefined // of the notice

  constructor(private product: Product, buy: Buy) {
    this.sale = saleOf(product)
    const id = `qty-${product.id}`
    this.qty = el('input', { id, type: 'number', min: 1, value: 1, inputmode: 'numeric', change: () => this.step(0) })
    const step = (by: number, sign: string, label: string) => el('button', { type: 'button', 'aria-label': label, click: () => this.step(by) }, sign)
    this.stepper = el('div', { class: 'stepper' },
      step(-1, '−', 'One fewer'), el('label', { class: 'hidden', for: id }, 'Quantity'), this.qty, step(1, '+', 'One more'))
    this.buy = button('Buy', 'primary', async () => {
      this.tell('')
      this.step(0) // a press on a touch screen may leave the focus in the field, and what was typed unchecked
      await buy(this.product, this.qty.valueAsNumber, (text, about) => this.tell(text, about))
    }, { 'aria-describedby': `name-${product.id}` })
    this.name.id = `name-${product.id}`
    this.element = el('li', { class: 'card', 'data-product': product.id },
      el('div', { class: 'frame' }, picture(product.id), this.badge),
      el('div', { class: 'body' },
        el('div', { class: 'headline' }, this.name, this.price),
        el('div', { class: 'meter', 'aria-hidden': 'true' }, this.sold, this.reserved),
        this.stock, this.limit, el('div', { class: 'row' }, this.stepper, this.buy), this.notice))
    this.update(product)
  }

  /** A notice of the stock goes when the stock changes, one of the connection when it is back. Any other stays until the next press. */
  private tell(text: string, about?: About): void {
    write(this.notice, text)
    this.about = about
  }

  connected(): void { if (this.about === 'connection') this.tell('') }

  private step(by: number): void {
    const wanted = Math.round(this.qty.valueAsNumber || 1) + by
    this.qty.value = String(Math.min(Math.max(1, wanted), Number(this.qty.max)))
  }

  update(p: Product): void {
    if (this.about === 'stock' && p.available_stock !== this.product.available_stock) this.tell('')
    this.product = p
    write(this.name, p.name)
    write(this.price, p.price.amount === 0 ? 'Free' : money(p.price))
    const most = Math.min(p.max_qty_per_hold, p.max_per_shopper ?? Infinity, Math.max(1, p.available_stock))
    this.qty.max = String(most)
    if (document.activeElement !== this.qty) this.step(0) // a shopper who types is not interrupted
    this.stepper.hidden = most === 1
    write(this.limit, p.max_per_shopper ? `At most ${p.max_per_shopper} per shopper. You need to sign in.` : '')
    const share = (n: number) => `${p.stock > 0 ? (100 * n) / p.stock : 0}%`
    this.sold.style.width = share(p.sold_stock)
    this.reserved.style.width = share(p.reserved_stock)
    this.stock.classList.toggle('low', p.available_stock <= p.stock * low)
    this.tick()
  }

  /** Follows the clock: several times a second, so it changes nothing that has not changed. */
  tick(): void {
    const p = this.product
    const sale = saleOf(p)
    const left = sale === 'soon' ? secondsUntil(p.sale_starts_at!) : p.sale_ends_at && sale === 'open' ? secondsUntil(p.sale_ends_at) : 0
    write(this.badge, sale === 'soon' ? `Starts in ${countdown(left)}` : sale === 'ended' ? 'Sale ended' : p.sale_ends_at ? `Ends in ${countdown(left)}` : '')
    this.badge.ariaLabel = left ? `${sale === 'soon' ? 'Starts' : 'Ends'} in ${spoken(left)}` : null
    this.badge.hidden = this.badge.textContent === ''
    this.badge.dataset.sale = sale
    if (sale !== this.sale) {
      this.sale = sale
      announce(sale === 'open' ? `The sale of ${p.name} has started.` : `The sale of ${p.name} has ended.`)
    }
    write(this.stock, sale === 'ended' ? 'The sale is over' : stockText(p))
    const open = sale === 'open' && p.available_stock > 0
    write(this.buy, sale === 'soon' ? 'Not yet' : sale === 'ended' ? 'Ended' : open ? 'Buy' : p.reserved_stock > 0 ? 'Try anyway' : 'Sold out')
    this.buy.classList.toggle('primary', open)
    this.buy.classList.toggle('plain', !open)
    // A product whose units may return can be tried; aria-disabled keeps the focus where it is.
    this.buy.ariaDisabled = String(sale !== 'open' || p.available_stock + p.reserved_stock <= 0)
    this.element.classList.toggle('gone', sale === 'ended' || (p.available_stock <= 0 && p.reserved_stock <= 0))
  }
}

/** Keeps the cards in the order of the products. */
export class Catalogue {
  private readonly cards = new Map<string, Card>()

  constructor(private readonly list: HTMLElement, private readonly buy: Buy) {}

  show(products: Product[]): void {
    const there = new Set(products.map(p => p.id))
    for (const [id, card] of this.cards) {
      if (there.has(id)) continue
      card.element.remove()
      this.cards.delete(id)
    }
    products.forEach((p, i) => {
      let card = this.cards.get(p.id)
      if (card) card.update(p)
      else this.cards.set(p.id, card = new Card(p, this.buy))
      if (this.list.children[i] !== card.element) this.list.insertBefore(card.element, this.list.children[i] ?? null)
    })
    this.list.dataset.count = String(products.length)
  }

  tick(): void { for (const card of this.cards.values()) card.tick() }

  connected(): void { for (const card of this.cards.values()) card.connected() }
}
