// The samples of the last minutes, as columns for the charts.
import type { StockSample, TrafficSample } from './feed.ts'

/** One column of times in milliseconds, and one column of values for each line. null: there is no value. */
export interface Columns { at: number[], lines: (number | null)[][] }

export class History {
  private stock: StockSample[] = []
  private traffic: TrafficSample[] = []
  minutes = 10

  replace(h: { stock: StockSample[], traffic: TrafficSample[] }): void {
    this.stock = h.stock
    this.traffic = h.traffic
    this.cut()
  }

  addStock(s: StockSample): void {
    this.stock.push(s)
    this.cut()
  }

  addTraffic(s: TrafficSample): void {
    this.traffic.push(s)
    this.cut()
  }

  /** A page that is open for days must not grow. */
  private cut(): void {
    const from = this.end - this.minutes * 60_000
    const old = (samples: { at: number }[]) => {
      const keep = samples.findIndex(s => s.at >= from)
      return keep < 0 ? samples.length : keep
    }
    this.stock.splice(0, old(this.stock))
    this.traffic.splice(0, old(this.traffic))
  }

  private get end(): number { return Math.max(this.stock.at(-1)?.at ?? 0, this.traffic.at(-1)?.at ?? 0) }

  /** The time that the charts show: as far back as there are samples, but at least a minute. */
  get span(): [number, number] {
    const first = Math.min(this.stock[0]?.at ?? Infinity, this.traffic[0]?.at ?? Infinity)
    return [Math.max(this.end - this.minutes * 60_000, Math.min(first, this.end - 60_000)), this.end]
  }

  /** The units of a product: available, held, ordered, sold. */
  stockOf(id: string): Columns {
    return { at: this.stock.map(s => s.at), lines: [0, 1, 2, 3].map(i => this.stock.map(s => s.products[id]?.[i] ?? null)) }
  }

  trafficOf(...values: ((s: TrafficSample) => number | null)[]): Columns {
    return { at: this.traffic.map(s => s.at), lines: values.map(value => this.traffic.map(value)) }
  }

  /** The codes of the refusals, the most frequent first. */
  codes(): string[] {
    const sums = new Map<string, number>()
    for (const s of this.traffic) for (const [code, n] of Object.entries(s.refusals)) sums.set(code, (sums.get(code) ?? 0) + n)
    return [...sums].filter(([, sum]) => sum > 0).sort((a, b) => b[1] - a[1]).map(([code]) => code)
  }
}
