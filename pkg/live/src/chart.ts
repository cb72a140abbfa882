// A chart with its legend. The legend has the numbers now, or those of the time under the pointer.
import type UPlot from 'uplot'
import { el, write } from 'web/dom.ts'
import { timeOfDay } from './format.ts'
import type { Columns } from './history.ts'

declare const uPlot: typeof UPlot // of uplot.js, a script of its own

/** A line of a chart. Its colour is a variable of the style sheet. */
export interface Line { name: string, colour: string, fill?: boolean }

export interface Options {
  title: string // what a screen reader calls the chart
  lines: Line[]
  stacked?: boolean // the values add up, and the first line is on top
  whole?: boolean // the values are whole numbers
  format: (value: number) => string
}

const visible = new IntersectionObserver(entries => {
  for (const e of entries) shown.get(e.target)?.see(e.isIntersecting)
}, { rootMargin: '150px' })
const resized = new ResizeObserver(entries => { for (const e of entries) shown.get(e.target)?.fit() })
const shown = new WeakMap<Element, Chart>()

const wholeSteps = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9].flatMap(n => [n, 2 * n, 5 * n])
const timeSteps = [5, 10, 15, 30, 60, 120, 180, 300].map(s => 1000 * s)
const compact = new Intl.NumberFormat('en', { notation: 'compact' })

export class Chart {
  readonly element: HTMLElement
  private readonly box = el('div', { class: 'plot', role: 'img' })
  private readonly legend = el('ul', { class: 'legend', role: 'list' })
  private readonly when = el('span', { class: 'when' })
  private values: HTMLElement[] = []
  private plot: UPlot | undefined
  private columns: Columns = { at: [], lines: [] }
  private span: [number, number] = [0, 1]
  private seen = false

  /** caption is what stands above the legend, if anything. */
  constructor(private readonly o: Options, caption?: HTMLElement) {
    this.element = el('figure', {}, el('figcaption', {}, caption, this.when), this.legend, this.box)
    shown.set(this.box, this)
    visible.observe(this.box)
    resized.observe(this.box)
    this.box.ariaLabel = o.title
    this.setLines(o.lines)
  }

  /** Replaces the lines, if they are others. */
  setLines(lines: Line[]): void {
    if (this.values.length > 0 && JSON.stringify(lines) === JSON.stringify(this.o.lines)) return
    this.o.lines = lines
    this.values = lines.map(() => el('b', {}))
    this.legend.replaceChildren(...lines.map((line, i) => {
      const swatch = el('i', { 'aria-hidden': 'true' })
      swatch.style.background = `var(${line.colour})`
      return el('li', {}, this.values[i], ' ', el('span', {}, swatch, line.name))
    }))
    this.renew()
  }

  /** Shows new values. It draws only what is on the screen. */
  update(columns: Columns, span: [number, number]): void {
    this.columns = columns
    this.span = span
    if (this.seen) this.draw()
    this.tell(this.under)
  }

  /** The sample under the pointer. */
  private get under(): number | null {
    const cursor = this.plot?.cursor
    return cursor && cursor.left! >= 0 ? cursor.idx ?? null : null
  }

  see(seen: boolean): void {
    this.seen = seen
    if (seen) this.draw()
  }

  fit(): void {
    if (this.plot && this.box.clientWidth > 0) this.plot.setSize({ width: this.box.clientWidth, height: this.box.clientHeight })
  }

  /** Draws from scratch, as in other colours. */
  renew(): void {
    this.plot?.destroy()
    this.plot = undefined
    if (this.seen) this.draw()
  }

  /** Stops watching, because the chart leaves the page. */
  remove(): void {
    visible.unobserve(this.box)
    resized.unobserve(this.box)
    this.plot?.destroy()
  }

  /** Writes the numbers of a sample: the one under the pointer, or the latest. */
  private tell(index: number | null): void {
    const at = index ?? this.columns.at.length - 1
    const text = (v: number | null | undefined) => v === null || v === undefined ? '–' : this.o.format(v)
    this.values.forEach((value, i) => write(value, text(this.columns.lines[i]?.[at])))
    write(this.when, index === null ? '' : timeOfDay(this.columns.at[at]!))
  }

  private draw(): void {
    if (this.box.clientWidth === 0 || this.columns.at.length === 0) return
    this.box.ariaLabel = this.summary()
    const data = [this.columns.at, ...(this.o.stacked ? stack(this.columns.lines) : this.columns.lines)] as UPlot.AlignedData
    if (this.plot) this.plot.setData(data)
    else this.plot = new uPlot(this.options(), data, this.box)
  }

  /** The text alternative: where each line is, and between which values it was. */
  private summary(): string {
    const { at, lines } = this.columns
    const said = this.o.lines.map(({ name }, i) => {
      const values = (lines[i] ?? []).filter(v => v !== null)
      if (values.length === 0) return `${name}: no values`
      const [low, high] = values.reduce(([l, h], v) => [Math.min(l, v), Math.max(h, v)], [Infinity, -Infinity])
      return `${name}: ${this.o.format(values.at(-1)!)} now, from ${this.o.format(low)} to ${this.o.format(high)}`
    })
    return `${this.o.title}, ${timeOfDay(at[0]!)} to ${timeOfDay(at.at(-1)!)}. ${said.join('. ')}.`
  }

  private options(): UPlot.Options {
    const css = getComputedStyle(document.documentElement)
    const colour = (name: string) => css.getPropertyValue(name).trim()
    const axis = { stroke: colour('--soft'), font: '12px Inter, system-ui, sans-serif', ticks: { show: false } }
    const grid = { stroke: colour('--line'), width: 1 }
    return {
      width: this.box.clientWidth, height: this.box.clientHeight, ms: 1, padding: [10, 18, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: 'live' }, points: { show: !this.o.stacked } },
      scales: {
        x: { time: true, range: () => this.span },
        y: { range: (_, __, high) => [0, high > 0 ? high * (this.o.stacked ? 1 : 1.1) : 1] },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 28, space: 64, incrs: timeSteps, values: (_, times) => times.map(t => timeOfDay(t).slice(0, times.some(s => s % 60_000) ? 8 : 5)) },
        { ...axis, grid, size: labelled, space: 34, values: (_, marks) => marks.map(v => this.o.whole ? compact.format(v) : this.o.format(v)), ...(this.o.whole ? { incrs: wholeSteps } : {}) },
      ],
      series: [{}, ...this.o.lines.map((line): UPlot.Series => {
        const shade = colour(line.colour)
        return this.o.stacked
          ? { stroke: shade, width: 1, fill: shade, points: { show: false } }
          : { stroke: shade, width: 1.5, ...(line.fill ? { fill: `${shade}1c` } : {}), points: { size: 5, fill: shade, show: few, filter: alone } }
      })],
      hooks: { setCursor: [() => this.tell(this.under)] },
    }
  }
}

/** Each line on top of those after it. */
function stack(lines: (number | null)[][]): (number | null)[][] {
  const sums = lines.map(line => [...line])
  for (let i = sums.length - 2; i >= 0; i--) sums[i] = sums[i]!.map((v, at) => v === null ? null : v + (sums[i + 1]![at] ?? 0))
  return sums
}

/** The width of an axis is that of its longest mark. */
const labelled = (_: UPlot, marks: string[] | null) => 14 + 7 * Math.max(1, ...(marks ?? []).map(m => m.length))

/** A chart with one sample a minute shows its points. */
const few = (_: UPlot, __: number, from: number, to: number) => to - from < 20

/** A value between two gaps has no line, so it gets a point. */
function alone(u: UPlot, series: number): number[] | null {
  const values = u.data[series]!
  const there = (i: number) => values[i] !== null && values[i] !== undefined
  const points = Array.from(values.keys()).filter(i => there(i) && !there(i - 1) && !there(i + 1))
  return points.length > 0 ? points : null
}
