// The form that changes a product. It sends only what the operator changed, so that it undoes nobody else's change.
import { byId, work, write } from 'web/dom.ts'
import { decimalsOf } from 'web/money.ts'
import { closable } from './dialog.ts'
import { type Change, change, type Product, Refusal } from './feed.ts'

const fields = ['name', 'price', 'currency', 'stock', 'max_qty_per_hold', 'max_per_shopper', 'sale_starts_at', 'sale_ends_at'] as const
type Field = typeof fields[number]

/** What an error of the server's is about, where it is not a field of the form. */
const sameAs: Record<string, Field> = { 'price.amount': 'price', 'price.currency': 'currency' }

const input = (f: Field) => byId<HTMLInputElement>(`change-${f}`)
const text = (f: Field) => input(f).value.trim()
const labels = (f: Field) => input(f).labels![0]!.textContent.toLowerCase()

/** Gets the changed product and a sentence about the change. */
type Saved = (p: Product, said: string) => void

let product: Product
let initial: Record<Field, string>
let saved: Saved

/** Opens the form with the product's values. */
export function openForm(p: Product, done: Saved): void {
  [product, saved] = [p, done]
  const values: Record<Field, string> = {
    name: p.name, price: (p.price.amount / 10 ** decimalsOf(p.price.currency)).toFixed(decimalsOf(p.price.currency)), currency: p.price.currency,
    stock: String(p.stock), max_qty_per_hold: String(p.max_qty_per_hold), max_per_shopper: p.max_per_shopper ? String(p.max_per_shopper) : '',
    sale_starts_at: local(p.sale_starts_at), sale_ends_at: local(p.sale_ends_at),
  }
  write(byId('change-title'), `Change ${p.name}`)
  write(byId('change-hint'), `The times are those of this machine: ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`)
  for (const f of fields) input(f).value = values[f]
  initial = Object.fromEntries(fields.map(f => [f, text(f)])) as typeof initial // a browser writes a time in its own way
  clear()
  byId<HTMLDialogElement>('change').showModal()
}

/** A time as its input field has it. */
function local(time: string | null): string {
  if (!time) return ''
  const t = new Date(time)
  return new Date(t.getTime() - t.getTimezoneOffset() * 60_000).toISOString().slice(0, 19)
}

function clear(): void {
  write(byId('change-error'), '')
  for (const f of fields) tell(f, '')
}

function tell(f: Field, text: string): void {
  write(byId(`change-${f}-error`), text)
  input(f).ariaInvalid = text ? 'true' : null
}

/** Shows the errors beside their fields, and goes to the first. */
function refuse(errors: { field: string, detail: string }[]): void {
  for (const e of errors) {
    const f = sameAs[e.field] ?? fields.find(known => known === e.field)
    if (f) tell(f, sentence(e.detail))
    else write(byId('change-error'), `${e.field}: ${e.detail}`)
  }
  const first = fields.find(f => input(f).ariaInvalid)
  if (first) input(first).focus()
}

const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.')

/** Reads what is changed, and what of it cannot be sent. */
function read(): { body: Change, changed: Field[], errors: { field: Field, detail: string }[] } {
  const errors: { field: Field, detail: string }[] = []
  const changed = fields.filter(f => text(f) !== initial[f] || input(f).validity.badInput)
  const whole = (f: Field) => {
    if (!/^\d{1,15}$/.test(text(f))) errors.push({ field: f, detail: 'Enter a whole number' })
    return Number(text(f))
  }
  const time = (f: Field) => {
    if (input(f).validity.badInput) errors.push({ field: f, detail: 'Enter a date and a time, or leave it empty' })
    return text(f) && new Date(text(f)).toISOString()
  }
  const body: Change = {}
  for (const f of changed) {
    if (f === 'name') body.name = text(f)
    else if (f === 'stock' || f === 'max_qty_per_hold') body[f] = whole(f)
    else if (f === 'max_per_shopper') body[f] = text(f) ? whole(f) : 0
    else if (f === 'sale_starts_at' || f === 'sale_ends_at') body[f] = time(f)
    else body.price = { amount: price(text('price'), text('currency'), errors), currency: text('currency').toUpperCase() }
  }
  return { body, changed, errors: errors.filter((e, i) => errors.findIndex(o => o.field === e.field) === i) }
}

/** The amount in minor units, without the rounding of binary fractions. */
function price(text: string, currency: string, errors: { field: Field, detail: string }[]): number {
  const digits = decimalsOf(currency.toUpperCase())
  const [, whole, part = ''] = /^(\d{1,13})(?:\.(\d+))?$/.exec(text) ?? []
  if (whole === undefined || part.length > digits) {
    errors.push({ field: 'price', detail: digits === 0 ? `Enter a whole number: ${currency} has no decimals` : `Enter a number with at most ${digits} decimals` })
    return 0
  }
  return Number(whole + part.padEnd(digits, '0'))
}

async function save(): Promise<void> {
  clear()
  const { body, changed, errors } = read()
  if (errors.length > 0) return refuse(errors)
  if (changed.length === 0) return write(byId('change-error'), 'You have not changed anything yet.')
  const names = changed.map(labels).join(', ')
  try {
    const { product: now } = await change(product.id, body)
    byId<HTMLDialogElement>('change').close()
    saved(now, `Saved: ${names}.`)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const { errors: refused = [] } = error.problem
    if (refused.length > 0) refuse(refused)
    else write(byId('change-error'), error.message)
  }
}

export function listen(): void {
  const button = byId('change-save')
  closable(byId<HTMLDialogElement>('change'), byId('change-cancel'), button)
  byId('change-form').addEventListener('submit', event => {
    event.preventDefault()
    void work(button, save)
  })
}
