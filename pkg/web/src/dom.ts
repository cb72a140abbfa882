// Small helpers to build the page. Text only ever becomes text, never HTML.

type Child = Node | string | false | null | undefined
type Attributes = Record<string, string | number | boolean | ((event: Event) => void) | undefined>

/** Creates an element. A function is a listener of the event with that name; true is an attribute without a value. */
export function el<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  set(element, attributes)
  element.append(...children.filter((c): c is Node | string => c !== false && c !== null && c !== undefined))
  return element
}

export function svg(tag: string, attributes: Attributes = {}, ...children: Node[]): SVGElement {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag)
  set(element, attributes)
  element.append(...children)
  return element
}

function set(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value)
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : String(value))
  }
}

/** Sets text only if it differs, so that a screen reader and a selection are left alone. */
export function write(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

export function byId<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T
}

/** Tells a screen reader about a change. The page calls it for events, not for each second of a countdown. */
export function announce(text: string): void {
  const region = byId('live')
  region.textContent = ''
  setTimeout(() => { region.textContent = text }, 50) // else the same text twice would be heard once
}

/** Lets only one click at a time through, and shows that the button works. */
export function button(label: string, kind: string, press: () => Promise<void> | void, more: Attributes = {}): HTMLButtonElement {
  const b = el('button', { type: 'button', class: `button ${kind}`, ...more }, label)
  b.addEventListener('click', () => work(b, press))
  return b
}

/** Does what a button is for, unless it is doing so already. */
export async function work(b: HTMLElement, action: () => Promise<void> | void): Promise<void> {
  if (b.ariaBusy === 'true') return
  b.ariaBusy = 'true'
  try {
    await action()
  } finally {
    b.ariaBusy = 'false'
  }
}
