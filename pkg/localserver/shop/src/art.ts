// A picture for every product, drawn from its id: the catalogue has none, and the page loads nothing from elsewhere.
import { svg } from 'web/dom.ts'

/** Pseudo-random numbers from 0 to 1, the same for the same text (FNV-1a and xorshift). */
function numbers(text: string): () => number {
  let h = 2166136261
  for (const c of text) h = Math.imul(h ^ c.charCodeAt(0), 16777619)
  return () => {
    h ^= h << 13; h ^= h >>> 17; h ^= h << 5
    return (h >>> 0) / 2 ** 32
  }
}

/** Each palette: two colours of the ground, then three of the shapes. */
const palettes = [
  ['#ffe3d3', '#ffb199', '#f2542d', '#0e9594', '#562c2c'],
  ['#dfe9ff', '#a9c1ff', '#3557d6', '#ffb703', '#12263a'],
  ['#e4f5ec', '#a8dcc2', '#1f8a5b', '#ff7f51', '#13402d'],
  ['#f3e6ff', '#cfb0f5', '#7b3fc4', '#ffd166', '#2f1b4d'],
  ['#fff2cc', '#ffd77a', '#e08e00', '#c8340c', '#33415c'],
  ['#ffe1ea', '#ffaec5', '#d6336c', '#4dabf7', '#43172a'],
  ['#dff6fb', '#9edfee', '#0b7fa3', '#ff9f6b', '#0b3142'],
] as const

/** A large disc, a half disc and a bar on a soft ground. */
export function picture(id: string): SVGElement {
  const next = numbers(id)
  for (let i = 0; i < 4; i++) next() // the first numbers of similar ids are similar
  const between = (from: number, to: number) => Math.round(from + next() * (to - from))
  const [light, ground, disc, half, bar] = palettes[between(0, palettes.length - 1)]!
  const gradient = `ground-${id}`
  const stop = (offset: string, c: string) => svg('stop', { offset, 'stop-color': c })
  const r = between(62, 82)
  const [cx, cy] = [between(150, 250), between(100, 140)]
  const side = next() < 0.5 ? -1 : 1
  const [hx, hy, hr] = [cx + side * between(60, 95), cy + between(-10, 40), between(46, 66)]
  const [bx, by, turn] = [cx - side * between(40, 80), cy + between(10, 50), between(-60, 60)]
  return svg('svg', { class: 'picture', viewBox: '0 0 400 240', preserveAspectRatio: 'xMidYMid slice', 'aria-hidden': 'true' },
    svg('defs', {}, svg('linearGradient', { id: gradient, x1: 0, y1: 0, x2: 1, y2: 1 }, stop('0', light), stop('1', ground))),
    svg('rect', { width: 400, height: 240, fill: `url(#${gradient})` }),
    svg('circle', { cx, cy, r, fill: disc }),
    svg('path', { d: `M${hx - hr} ${hy}a${hr} ${hr} 0 0 1 ${hr * 2} 0z`, fill: half, opacity: 0.92, transform: `rotate(${between(0, 11) * 30} ${hx} ${hy})` }),
    svg('rect', { x: bx - 58, y: by - 17, width: 116, height: 34, rx: 17, fill: bar, opacity: 0.92, transform: `rotate(${turn} ${bx} ${by})` }))
}
