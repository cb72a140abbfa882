// Amounts of money, and numbers of units.

let decimals: Record<string, number> = {}

/** Tells the decimals of the currencies that do not have two. */
export const setDecimals = (known: Record<string, number>): void => { decimals = known }

export const decimalsOf = (currency: string): number => decimals[currency] ?? 2

/** The API has minor units of ISO 4217, and a browser's own table differs for some currencies. */
export function money(m: { amount: number, currency: string }): string {
  const digits = decimalsOf(m.currency)
  return new Intl.NumberFormat('en', {
    style: 'currency', currency: m.currency, minimumFractionDigits: digits, maximumFractionDigits: digits,
  }).format(m.amount / 10 ** digits)
}

export const units = (n: number): string => `${n.toLocaleString('en')} ${n === 1 ? 'unit' : 'units'}`
