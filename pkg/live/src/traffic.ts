// The charts of the whole server: requests and refusals, how long requests take, and how late the sweep is.
import { el } from 'web/dom.ts'
import { Chart, type Line, type Options } from './chart.ts'
import { milliseconds, rate, seconds, words } from './format.ts'
import type { History } from './history.ts'

const named = 5 // refusals with a line of their own; the others share one
const shades = Array.from({ length: named }, (_, i) => `--line-${i + 1}`)
const requests: Line = { name: 'all requests', colour: '--ink', fill: true }

export class Traffic {
  private readonly requests: Chart
  private readonly times: Chart
  private readonly sweep: Chart
  private shadeOf = new Map<string, string>() // by the code of a refusal

  constructor(box: HTMLElement) {
    const chart = (className: string, unit: string, o: Options) => {
      const made = new Chart(o, el('h3', {}, o.title, el('span', { class: 'fine' }, ` ${unit}`)))
      box.append(el('div', { class: `card ${className}` }, made.element))
      return made
    }
    this.requests = chart('wide', 'per second', { title: 'Requests and refusals', lines: [requests], format: rate })
    this.times = chart('', 'p50 and p99', {
      title: 'Time of a request', lines: [{ name: 'p99', colour: '--line-1' }, { name: 'p50', colour: '--line-2' }], format: milliseconds,
    })
    this.sweep = chart('', 'how late expired units came back', { title: 'Sweep lag', lines: [{ name: 'lag', colour: '--line-3', fill: true }], format: seconds })
  }

  draw(h: History): void {
    const codes = h.codes()
    const own = codes.slice(0, named)
    this.shade(own)
    const lines = [requests, ...own.map(code => ({ name: words(code), colour: this.shadeOf.get(code)! }))]
    const values = own.map(code => (s: { refusals: Record<string, number> }) => s.refusals[code] ?? 0)
    if (codes.length > named) {
      lines.push({ name: 'other refusals', colour: '--soft' })
      values.push(s => codes.slice(named).reduce((sum, code) => sum + (s.refusals[code] ?? 0), 0))
    }
    this.requests.setLines(lines)
    this.requests.update(h.trafficOf(s => s.requests, ...values), h.span)
    this.times.update(h.trafficOf(s => s.p99_ms, s => s.p50_ms), h.span)
    this.sweep.update(h.trafficOf(s => s.sweep_lag_s), h.span)
  }

  /** A code keeps its colour for as long as it has a line. */
  private shade(codes: string[]): void {
    this.shadeOf = new Map([...this.shadeOf].filter(([code]) => codes.includes(code)))
    const used = new Set(this.shadeOf.values())
    const free = shades.filter(s => !used.has(s))
    for (const code of codes) if (!this.shadeOf.has(code)) this.shadeOf.set(code, free.shift()!)
  }

  renew(): void { for (const chart of [this.requests, this.times, this.sweep]) chart.renew() }
}
