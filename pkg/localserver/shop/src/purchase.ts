// One purchase, from the hold to the paid order: a card with a countdown and the next step.
import { api, type Hold, type Kind, type Order, Refusal, sandbox } from './api.ts'
import { countdown, now, secondsUntil, spoken } from 'web/clock.ts'
import { announce, button, el, svg, write } from 'web/dom.ts'
import { money, units } from 'web/money.ts'
import { deliveredText, orderText, refusalText } from './text.ts'

/** What a purchase is made of, as the tab keeps it. */
export interface Kept { name: string, hold: Hold, order?: Order, payments: string[] }

/** What the page does for a purchase. */
export interface Page { keep(): void, remove(p: Purchase): void, refresh(): void, sandbox: boolean }

const round = 2 * Math.PI * 26 // the circle's length
const told = [60, 30, 10] // seconds left that are announced

export class Purchase {
  readonly element = el('li', { class: 'purchase' })
  private readonly title = el('h3', { tabindex: -1 })
  private readonly detail = el('p', { class: 'fine' })
  private readonly left = el('span', { class: 'left', role: 'timer' })
  private readonly arc = svg('circle', { class: 'arc', cx: 32, cy: 32, r: 26, 'stroke-dasharray': round })
  private readonly steps = el('ol', { class: 'steps' })
  private readonly actions = el('div', { class: 'actions' })
  private readonly notice = el('p', { class: 'notice', role: 'alert' })
  private phase = ''
  private lastLeft = Infinity
  private asked = -Infinity // when the server was last asked
  private asking = false
  private unreachable = false // the notice says so

  constructor(readonly kept: Kept, private readonly page: Page) {
    const ring = svg('svg', { class: 'ring', viewBox: '0 0 64 64', 'aria-hidden': 'true' },
      svg('circle', { class: 'track', cx: 32, cy: 32, r: 26 }), this.arc,
      svg('path', { class: 'tick', d: 'M21 33l8 8 15-17' }), svg('path', { class: 'cross', d: 'M24 24l16 16M40 24L24 40' }))
    const { hold, name } = kept
    this.element.append(
      el('div', { class: 'top' }, el('div', { class: 'dial' }, ring, this.left),
        el('div', { class: 'words' }, this.title, this.detail, el('p', { class: 'item' }, `${name} · ${units(hold.qty)}`))),
      this.steps, this.actions, this.notice)
    this.show()
  }

  private get deadline(): string | undefined {
    const { hold, order } = this.kept
    if (order) return order.status === 'pending_payment' ? order.pay_by : undefined
    return hold.status === 'active' ? hold.expires_at : undefined
  }

  private get from(): string { return this.kept.order?.created_at ?? this.kept.hold.created_at }

  /** Builds what belongs to the state, if that has changed. The focus stays inside of the card. */
  private show(): void {
    const { hold, order } = this.kept
    const phase = order ? `${order.status} ${order.reason ?? ''}` : hold.status
    if (phase === this.phase) return
    const focused = this.element.contains(document.activeElement)
    const first = this.phase === ''
    this.phase = phase
    this.lastLeft = Infinity
    const standing = order ? orderText(order) : holdText(hold)
    this.element.dataset.phase = order?.status ?? hold.status
    this.element.dataset.tone = standing.tone
    write(this.title, standing.title)
    write(this.detail, standing.detail)
    const reached = order ? (order.status === 'paid' ? 3 : 2) : 1
    this.steps.replaceChildren(...['Reserved', 'Ordered', 'Paid'].map((step, i) =>
      el('li', { class: i < reached ? 'done' : '', 'aria-current': i === reached - 1 ? 'step' : undefined }, step)))
    this.steps.hidden = standing.tone === 'bad'
    this.actions.replaceChildren(...(order ? this.orderActions(order) : this.holdActions(hold)))
    if (!first) announce(`${standing.title}. ${standing.detail}`)
    if (focused && !this.element.contains(document.activeElement)) this.title.focus()
    this.tick()
    this.page.keep()
  }

  private holdActions(hold: Hold): Node[] {
    if (hold.status !== 'active') return [this.dismiss()]
    return [
      button('Order now', 'primary', () => this.attempt(async () => { this.kept.order = await api.createOrder(hold.id) })),
      button('Give it back', 'quiet', () => this.attempt(async () => {
        await api.release(hold.id)
        this.kept.hold = { ...hold, status: 'released' }
      })),
    ]
  }

  private orderActions(order: Order): Node[] {
    const number = el('p', { class: 'fine number' }, 'Order ', el('code', {}, order.id))
    const cancel = button('Cancel order', 'quiet', () => this.attempt(async () => { this.kept.order = await api.cancel(order.id) }))
    const open = order.status === 'pending_payment'
    if (!this.page.sandbox) return [number, ...(open ? [cancel] : [this.dismiss()])]
    const pay = (kind: Kind, label: string, style = 'plain') => button(label, style, () => this.play(kind))
    if (open) {
      return [pay('pay', `Pay ${money(order.amount)}`, 'primary'), cancel, this.sandboxOf([
        pay('pay_twice', 'Pay, delivered twice'), pay('wrong_amount', 'Pay the wrong amount'), pay('fail', 'Let the payment fail'),
      ], 'To pay late, cancel the order or let its time run out first.'), number]
    }
    const choices = order.status === 'paid' ? [pay('pay', 'Pay a second time')] : [pay('pay', 'Pay late')]
    if (this.kept.payments.length > 0) choices.push(pay('refund', 'Refund the last payment'))
    return [this.dismiss(), this.sandboxOf(choices, 'The command “flashsale refunds” lists what the shop owes.'), number]
  }

  private sandboxOf(choices: Node[], hint: string): HTMLElement {
    return el('details', { class: 'sandbox' }, el('summary', {}, 'Sandbox: try other payments'),
      el('p', { class: 'fine' }, hint), el('div', { class: 'choices' }, ...choices))
  }

  private dismiss(): HTMLButtonElement {
    return button('Remove from this list', 'quiet', () => this.page.remove(this))
  }

  /** Plays the payment provider, and shows what the webhook said. */
  private play(kind: Kind): Promise<void> {
    return this.attempt(async () => {
      const { order, payments } = this.kept
      const played = await sandbox(order!.id, kind, kind === 'refund' ? payments.at(-1) : '')
      if (kind === 'refund') payments.pop()
      else if (kind !== 'fail') payments.push(played.payment_id)
      this.kept.order = await api.order(order!.id)
      this.phase += ' played' // a payment changes the choices even if the status stays
      this.show()
      write(this.notice, deliveredText(played.delivered))
    }, true)
  }

  /** Does what a button asks for, and shows why if the server refuses. */
  private async attempt(action: () => Promise<void>, told = false): Promise<void> {
    write(this.notice, '')
    this.unreachable = false
    this.notice.classList.toggle('calm', told)
    try {
      await action()
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.notice.classList.remove('calm')
      write(this.notice, refusalText(error, this.kept.name))
      this.unreachable = error.code === ''
      await this.ask()
    }
    this.show()
    this.page.refresh()
  }

  connected(): void { if (this.unreachable) write(this.notice, '') }

  /** Asks the server for the state. Its word counts, not the page's clock. */
  private async ask(): Promise<void> {
    if (this.asking) return
    this.asking = true
    this.asked = performance.now()
    const { hold, order } = this.kept
    try {
      if (order) this.kept.order = await api.order(order.id)
      else {
        this.kept.hold = await api.hold(hold.id)
        if (this.kept.hold.order_id) this.kept.order = await api.order(this.kept.hold.order_id)
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      if (error.problem.status === 404) this.page.remove(this) // another shopper's, or pruned
    } finally {
      this.asking = false
    }
  }

  /** Polls while something may change: a payment each second, an ended order seldom, a hold at its end. */
  poll(): void {
    const { hold, order } = this.kept
    const pause = order ? (order.status === 'pending_payment' ? 1000 : 5000) : 1000
    const due = order ? true : hold.status === 'active' && secondsUntil(hold.expires_at) === 0
    if (due && performance.now() - this.asked >= pause) void this.ask().then(() => this.show())
  }

  tick(): void {
    const end = this.deadline
    this.element.classList.toggle('counting', end !== undefined)
    if (!end) return write(this.left, '')
    const left = secondsUntil(end)
    write(this.left, countdown(left))
    this.left.ariaLabel = `${spoken(left)} left`
    const share = (Date.parse(end) - now()) / (Date.parse(end) - Date.parse(this.from))
    this.arc.style.strokeDashoffset = String(round * (1 - Math.min(1, Math.max(0, share))))
    this.element.classList.toggle('hurry', left <= 10)
    const passed = told.find(mark => this.lastLeft > mark && left <= mark)
    if (passed && this.lastLeft !== Infinity) announce(`${spoken(left)} left for ${this.kept.name}.`)
    this.lastLeft = left
  }

  focus(): void {
    this.title.focus({ preventScroll: true })
    this.element.scrollIntoView({ block: 'nearest' })
  }
}

function holdText(hold: Hold): { title: string, detail: string, tone: string } {
  switch (hold.status) {
    case 'active': return { title: 'Reserved for you', detail: 'Order before the time runs out.', tone: 'wait' }
    case 'released': return { title: 'Given back', detail: 'The units are on sale again.', tone: 'bad' }
    case 'ordered': return { title: 'Ordered', detail: 'You have ordered this.', tone: 'wait' }
    case 'expired': return { title: 'Time ran out', detail: 'The reservation has ended, and its units went back on sale.', tone: 'bad' }
  }
}
