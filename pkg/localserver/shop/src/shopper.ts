// The shopper: anonymous, or signed in by a name or with a token.
import { Refusal, type Settings, signIn, token } from './api.ts'
import { announce, byId, el, write } from 'web/dom.ts'
import { refusalText } from './text.ts'

const nameKey = 'shop.name'

/** The name under which the tab keeps purchases; empty: anonymous. */
export const shopperName = (): string => token.get() ? sessionStorage.getItem(nameKey) ?? 'you' : ''

export class SignIn {
  private readonly dialog = byId<HTMLDialogElement>('sign-in')
  private readonly field = byId<HTMLInputElement>('sign-in-field')
  private readonly error = byId('sign-in-error')
  private readonly bar = byId('shopper')
  private then: (() => void) | undefined
  /** Without a way to sign in, every shopper is anonymous. */
  readonly offered: boolean

  constructor(private readonly settings: Settings, private readonly changed: () => void) {
    this.offered = settings.sign_in_by_name || settings.sign_in_needed
    if (!settings.sign_in_by_name) {
      write(byId('sign-in-label'), 'Token of your identity provider')
      write(byId('sign-in-hint'), 'Paste an access token. This tab keeps it until you close it.')
      this.field.maxLength = 4096
    }
    byId('sign-in-form').addEventListener('submit', event => { event.preventDefault(); void this.submit() })
    byId('sign-in-cancel').addEventListener('click', () => this.dialog.close())
    this.dialog.addEventListener('close', () => { this.then = undefined })
    this.show()
  }

  /** Asks for the name. then runs once the shopper is signed in. */
  open(then?: () => void): void {
    this.then = then
    write(this.error, '')
    this.field.value = ''
    this.dialog.showModal()
  }

  private async submit(): Promise<void> {
    const text = this.field.value.trim()
    if (!text) return write(this.error, 'Please fill this in.')
    try {
      const signed = this.settings.sign_in_by_name ? await signIn(text) : { name: 'you', token: text }
      token.set(signed.token)
      sessionStorage.setItem(nameKey, signed.name)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return write(this.error, refusalText(error))
    }
    const then = this.then
    this.dialog.close()
    this.show()
    announce(`You are signed in as ${shopperName()}.`)
    this.changed()
    then?.()
  }

  signOut(): void {
    token.set('')
    this.show()
    announce('You are signed out.')
    this.changed()
  }

  private show(): void {
    const name = shopperName()
    if (!this.offered) return this.bar.replaceChildren()
    const press = el('button', { type: 'button', class: 'button quiet', click: () => name ? this.signOut() : this.open() }, name ? 'Sign out' : 'Sign in')
    const focused = this.bar.contains(document.activeElement)
    this.bar.replaceChildren(...(name ? [el('span', { class: 'who' }, name)] : []), press)
    if (focused) press.focus()
  }
}
