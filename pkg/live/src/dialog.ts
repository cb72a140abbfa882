// What the two dialogs have in common. The browser returns the focus to the button that opened a dialog.

/** Lets a dialog be closed, but not while its button works: the operator has to see what comes of it. */
export function closable(dialog: HTMLDialogElement, no: HTMLElement, yes: HTMLElement): void {
  const working = () => yes.ariaBusy === 'true'
  no.addEventListener('click', () => { if (!working()) dialog.close() })
  dialog.addEventListener('cancel', event => { if (working()) event.preventDefault() })
}
