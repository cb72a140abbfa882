// The latest orders, newest first.
import { announce, button, el, write } from 'web/dom.ts'
import { money } from 'web/money.ts'
import type { Order } from './feed.ts'
import { ago, fullTime, words } from './format.ts'

/** What an order's status is called, and its tone. */
const statuses: Record<string, [name: string, tone: string]> = {
  pending_payment: ['Waiting for payment', 'wait'],
  paid: ['Paid', 'good'],
  cancelled: ['Cancelled', 'calm'],
  refund_due: ['Owed back', 'bad'],
  refunded: ['Refunded', 'calm'],
}

class Row {
  readonly element: HTMLElement
  private readonly status = el('span', { class: 'pill' })
  private readonly reason = el('span', { class: 'fine' })
  private readonly when = el('time', { class: 'fine' })
  private readonly at: number

  constructor(o: Order, name: string) {
    this.at = o.created_at
    this.when.dateTime = new Date(o.created_at).toISOString()
    const copy = button('Copy', 'quiet small', async () => {
      try {
        await navigator.clipboard.writeText(o.id)
        announce(`Copied ${o.id}.`)
        write(copy, 'Copied')
      } catch {
        announce('The browser does not allow to copy. Select the id instead.')
        getSelection()?.selectAllChildren(id)
      }
      setTimeout(() => write(copy, 'Copy'), 2000)
    }, { 'aria-label': `Copy the id of order ${o.id}` })
    const id = el('code', {}, o.id)
    this.element = el('li', { class: 'order' },
      el('p', { class: 'standing' }, this.status, this.reason),
      el('p', { class: 'what' }, `${o.qty.toLocaleString('en')} × ${name}`, el('span', { class: 'fine' }, o.reference && ` for ${o.reference}`)),
      el('p', { class: 'amount' }, money(o.amount)),
      el('p', { class: 'id' }, id, copy), this.when)
    this.update(o)
    this.tick()
  }

  update(o: Order): void {
    const [name, tone] = statuses[o.status] ?? [words(o.status), 'calm']
    write(this.status, name)
    this.status.dataset.tone = tone
    write(this.reason, o.reason && words(o.reason))
    this.when.title = `Made at ${fullTime(o.created_at)}, last changed at ${fullTime(o.updated_at)}`
  }

  tick(): void { write(this.when, ago(this.at)) }
}

export class Orders {
  private rows = new Map<string, Row>()

  constructor(private readonly list: HTMLElement, private readonly empty: HTMLElement) {}

  show(orders: Order[], name: (product: string) => string): void {
    const before = this.rows
    this.rows = new Map(orders.map(o => [o.id, before.get(o.id) ?? new Row(o, name(o.product_id))]))
    for (const [id, row] of before) if (!this.rows.has(id)) row.element.remove()
    orders.forEach((o, i) => {
      const row = this.rows.get(o.id)!
      row.update(o)
      if (this.list.children[i] !== row.element) this.list.insertBefore(row.element, this.list.children[i] ?? null)
    })
    this.empty.hidden = orders.length > 0
  }

  tick(): void { for (const row of this.rows.values()) row.tick() }
}
