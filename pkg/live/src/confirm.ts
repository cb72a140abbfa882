// The dialog that asks before a sale is paused or ended.
import { byId, work, write } from 'web/dom.ts'
import { closable } from './dialog.ts'
import { Refusal } from './feed.ts'

let act: () => Promise<void>

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
  closable(dialog, byId('confirm-no'), yes)
  yes.addEventListener('click', () => work(yes, async () => {
    try {
      await act()
      dialog.close()
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      write(byId('confirm-error'), error.message)
    }
  }))
}
