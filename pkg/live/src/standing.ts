// The badges of the page's head: the connection, the audit, and the money that is owed.
import { announce, byId, el, write } from 'web/dom.ts'
import { money } from 'web/money.ts'
import type { Audit, State } from './feed.ts'
import { ago, fullTime, timeOfDay } from './format.ts'

function badge(id: string, tone: string, text: string, more = ''): void {
  const pill = byId(id)
  pill.dataset.tone = tone
  write(pill, text)
  pill.title = more
}

export class Standing {
  private audit: Audit | undefined
  private live: boolean | undefined
  private heard = 0
  private at = 0 // of the figures, by the server's clock
  private fresh = true // false: the server has no newer figures itself

  connected(live: boolean): void {
    if (this.live !== undefined || !live) announce(live ? 'The figures are live again.' : 'The connection is lost. The page shows the last known figures.')
    this.live = live
    this.showConnection()
  }

  private showConnection(): void {
    document.body.classList.toggle('stale', !this.live || !this.fresh)
    const since = this.heard ? `no data since ${timeOfDay(this.heard)}` : ''
    if (!this.live) badge('connection', 'bad', since ? `Reconnecting: ${since}` : 'Connecting')
    else if (!this.fresh) badge('connection', 'bad', since ? `Connected, ${since}` : 'Connected, no figures yet')
    else badge('connection', 'good', 'Live')
  }

  show(s: State): void {
    write(byId('trouble'), s.trouble)
    this.fresh = s.trouble === '' || s.at !== this.at
    this.at = s.at
    if (this.fresh) this.heard = Date.now()
    this.showConnection()
    if (s.at === 0) return
    if (this.audit && this.audit.state !== s.audit.state) announce(`The audit is ${s.audit.state}.`)
    this.audit = s.audit
    byId('findings').hidden = s.audit.state !== 'broken'
    if (s.audit.state === 'broken') {
      const rest = s.audit.broken - s.audit.findings.length
      const list = [...s.audit.findings, ...(rest > 0 ? [`${rest} more: \`flashsale audit\` lists them.`] : [])]
      const text = list.join('\n')
      const shown = byId('findings-list')
      if (shown.dataset.text !== text) shown.replaceChildren(...list.map(f => el('li', {}, f)))
      shown.dataset.text = text
    }
    const { payments, money: sums } = s.owed
    if (payments === 0) badge('owed', 'good', 'Nothing owed')
    else badge('owed', 'wait', `Owed: ${sums.map(money).join(', ')}`, '`flashsale refunds` lists the payments')
    write(byId('owed-hint'), payments === 0 ? '' : `${payments} ${payments === 1 ? 'payment' : 'payments'} to refund`)
    this.tick()
  }

  tick(): void {
    if (!this.audit) return
    const { state, broken, changes_at, full_at } = this.audit
    const checked = [
      changes_at ? `Changes checked at ${fullTime(changes_at)}.` : 'Changes not checked yet.',
      full_at ? `Everything checked at ${fullTime(full_at)}.` : 'Everything not checked yet.',
    ].join(' ')
    const last = Math.max(changes_at ?? 0, full_at ?? 0)
    write(byId('audit-hint'), last ? `checked ${ago(last)}` : '')
    if (state === 'clean') badge('audit', 'good', 'Audit clean', checked)
    else if (state === 'broken') badge('audit', 'bad', `Audit broken: ${broken} ${broken === 1 ? 'finding' : 'findings'}`, checked)
    else badge('audit', 'calm', 'Audit unknown', checked)
  }
}
