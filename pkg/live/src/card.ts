// A product: its stock, its sale, and what the operator can do with it.
import { countdown, saleOf, secondsUntil } from 'web/clock.ts'
import { announce, button, el, write } from 'web/dom.ts'
import { money, units } from 'web/money.ts'
import { Chart } from './chart.ts'
import { confirm } from './confirm.ts'
import { act, type Product, Refusal } from './feed.ts'
import { openForm } from './form.ts'
import { count, fullTime } from './format.ts'
import type { History } from './history.ts'

const lines = ['available', 'held', 'ordered', 'sold'].map(name => ({ name, colour: `--${name}` }))

export class Card {
  readonly element: HTMLElement
  private readonly name = el('h3', {})
  private readonly price = el('span', {})
  private readonly badge = el('p', { class: 'pill' })
  private readonly limits = el('p', { class: 'fine' })
  private readonly notice = el('p', { class: 'notice calm' })
  private readonly chart: Chart
  private readonly pause: HTMLButtonElement
  private readonly end: HTMLButtonElement

  constructor(private product: Product) {
    const p = product
    this.name.id = `name-${p.id}`
    const of = { 'aria-describedby': this.name.id }
    this.pause = button('Pause', 'plain', () => this.product.hidden ? this.resume() : this.askPause(), of)
    this.end = button('End sale', 'plain', () => this.askEnd(), of)
    const change = button('Change', 'plain', () => openForm(this.product, (p, said) => {
      this.update(p)
      this.tell(said)
    }), of)
    this.chart = new Chart({ title: `Stock of ${p.name}`, lines, stacked: true, whole: true, format: count })
    this.element = el('li', { class: 'card', 'data-product': p.id },
      el('div', { class: 'headline' }, el('div', {}, this.name, el('p', { class: 'fine' }, el('code', {}, p.id), ' · ', this.price)), this.badge),
      this.chart.element, this.limits, el('div', { class: 'row' }, this.pause, this.end, change), this.notice)
    this.update(p)
  }

  update(p: Product): void {
    this.product = p
    write(this.name, p.name)
    write(this.price, p.price.amount === 0 ? 'Free' : money(p.price))
    const limits = [`${units(p.stock)} in all`, `at most ${p.max_qty_per_hold} in a hold`]
    if (p.max_per_shopper) limits.push(`${p.max_per_shopper} per shopper`)
    if (p.sale_starts_at) limits.push(`starts ${fullTime(Date.parse(p.sale_starts_at))}`)
    if (p.sale_ends_at) limits.push(`ends ${fullTime(Date.parse(p.sale_ends_at))}`)
    write(this.limits, limits.join(' · '))
    write(this.pause, p.hidden ? 'Resume' : 'Pause')
    this.tick()
  }

  /** Follows the clock. */
  tick(): void {
    const p = this.product
    const sale = saleOf(p)
    const ends = p.sale_ends_at && sale === 'open' ? `, ends in ${countdown(secondsUntil(p.sale_ends_at))}` : ''
    const [text, tone] =
      p.hidden ? ['Paused', 'wait'] :
      sale === 'soon' ? [`Starts in ${countdown(secondsUntil(p.sale_starts_at!))}`, 'calm'] :
      sale === 'ended' ? ['Sale ended', 'calm'] :
      p.available > 0 ? [`On sale${ends}`, 'good'] :
      p.held + p.ordered > 0 ? [`All reserved${ends}`, 'wait'] : ['Sold out', 'bad']
    write(this.badge, text!)
    this.badge.dataset.tone = tone
    this.end.ariaDisabled = String(sale === 'ended')
  }

  draw(history: History): void { this.chart.update(history.stockOf(this.product.id), history.span) }

  renew(): void { this.chart.renew() }

  remove(): void {
    this.chart.remove()
    this.element.remove()
  }

  private tell(text: string, calm = true): void {
    this.notice.classList.toggle('calm', calm)
    write(this.notice, text)
    announce(text)
  }

  private async resume(): Promise<void> {
    try {
      const { product } = await act(this.product.id, 'resume')
      this.update(product)
      this.tell('The product is on sale again, within its sale’s times.')
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.tell(error.message, false)
    }
  }

  private askPause(): void {
    confirm(`Pause ${this.product.name}?`, 'Pause hides the product: shoppers get 404 and place no new holds. Existing holds and orders go on.', 'Pause', async () => {
      const { product } = await act(this.product.id, 'pause')
      this.update(product)
      this.tell('Paused. Shoppers no longer see the product.')
    })
  }

  private askEnd(): void {
    if (this.end.ariaDisabled === 'true') return
    confirm(`End the sale of ${this.product.name}?`, 'The sale ends now: shoppers place no new holds. Existing holds can still be ordered and paid. To sell again, change the end of the sale.', 'End sale', async () => {
      const { product, changed } = await act(this.product.id, 'end')
      this.update(product)
      this.tell(changed ? 'The sale has ended.' : 'The sale had ended before.')
    })
  }
}
