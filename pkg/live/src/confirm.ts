// The dialog that asks before a sale is paused or ended. The browser returns the focus to the button that opened it.
import { byId, write } from 'web/dom.ts'
import { Refusal } from './feed.ts'

let act: (() => Promise<void>) | undefined

/** Asks, and does it if the operator agrees. A refusal is shown in the dialog, which stays open. */
export function confirm(title: string, follows: string, label: string, action: () => Promise<void>): void {
  act = action
  write(byId('confirm-title'), title)
  write(byId('confirm-text'), follows)
  write(byId('confirm-yes'), label)
  write(byId('confirm-error'), '')
  byId<HTMLDialogElement>('confirm').showModal()
}

export function listen(): void {
  const dialog = byId<HTMLDialogElement>('confirm')
  const yes = byId('confirm-yes')
  byId('confirm-no').addEventListener('click', () => dialog.close())
  yes.addEventListener('click', async () => {
    if (yes.ariaBusy === 'true') return
    const asked = act // the dialog may ask something else by the time of the response
    yes.ariaBusy = 'true'
    try {
      await asked?.()
      if (asked === act) dialog.close()
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      if (asked === act) write(byId('confirm-error'), error.message)
    } finally {
      yes.ariaBusy = 'false'
    }
  })
}
