// Numbers and times as a person reads them.
import { now } from 'web/clock.ts'

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const digits = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
const tenths = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })
const hundredths = new Intl.NumberFormat('en', { maximumFractionDigits: 2 })

export const count = (n: number): string => whole.format(n)

export const rate = (n: number): string => (n >= 100 ? whole : n >= 1 ? tenths : hundredths).format(n)

export const milliseconds = (ms: number): string => ms >= 1000 ? `${digits.format(ms / 1000)} s` : `${digits.format(ms)} ms`

export const seconds = (s: number): string => s >= 1 || s === 0 ? `${digits.format(s)} s` : milliseconds(s * 1000)

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' })

export const timeOfDay = (at: number): string => clock.format(at)
export const fullTime = (at: number): string => day.format(at)

/** "12 s ago", by the server's clock. */
export function ago(at: number): string {
  const s = Math.max(0, Math.round((now() - at) / 1000))
  if (s < 5) return 'just now'
  if (s < 60) return `${s} s ago`
  if (s < 3600) return `${Math.floor(s / 60)} min ago`
  return s < 172_800 ? `${Math.floor(s / 3600)} h ago` : `${Math.floor(s / 86_400)} days ago`
}

/** "sold_out" is "sold out". */
export const words = (code: string): string => /^\dxx$/.test(code) ? `other ${code}` : code.replaceAll('_', ' ')
