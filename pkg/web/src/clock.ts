// The server's clock decides when a hold or a sale ends, so a page counts by that clock, not by its reader's.

let offset = -Infinity // the server's time less performance.now(), in milliseconds

/**
 * Learns from a time that the server wrote, in milliseconds since 1970. It was past when it arrived, so the largest
 * difference seen is the best estimate. performance.now() does not jump if somebody sets the reader's clock.
 */
export function observe(time: number): void {
  offset = Math.max(offset, time - performance.now())
}

/** The server's time now, in milliseconds. */
export const now = (): number => offset === -Infinity ? Date.now() : offset + performance.now()

/** The seconds until a time, at least 0; the last one is shown to its end. */
export const secondsUntil = (time: string): number => Math.max(0, Math.ceil((Date.parse(time) - now()) / 1000))

/** 125 is 2:05, and a long time has its hours or days. */
export function countdown(seconds: number): string {
  const two = (n: number) => String(n).padStart(2, '0')
  const [m, s] = [Math.floor(seconds / 60), seconds % 60]
  if (m < 60) return `${m}:${two(s)}`
  const h = Math.floor(m / 60)
  return h < 48 ? `${h}:${two(m % 60)}:${two(s)}` : `${Math.floor(h / 24)} days`
}

/** The same for a screen reader: 2 minutes and 5 seconds. */
export function spoken(seconds: number): string {
  const unit = (n: number, name: string) => `${n} ${name}${n === 1 ? '' : 's'}`
  if (seconds < 60) return unit(seconds, 'second')
  if (seconds >= 7200) return unit(Math.round(seconds / 3600), 'hour')
  return unit(Math.floor(seconds / 60), 'minute') + (seconds % 60 ? ` and ${unit(seconds % 60, 'second')}` : '')
}

export type Sale = 'soon' | 'open' | 'ended'

export function saleOf(p: { sale_starts_at?: string | null, sale_ends_at?: string | null }): Sale {
  if (p.sale_starts_at && now() < Date.parse(p.sale_starts_at)) return 'soon'
  return p.sale_ends_at && now() >= Date.parse(p.sale_ends_at) ? 'ended' : 'open'
}
