'use strict'
// The qbackend workers of a node: who lives, and how much each has to do.
// One that does not answer for DEAD s, or answers as another process than before, is lost: what ran on it is over.

const { within } = require('./bus')

const BUSY = 1.0 // s between two looks at a worker that works or is not known to live
const IDLE = 2.0
const DEAD = 3.0
const ROOM = 32 // exchanges at once, reservations included

class Worker {
  constructor (number, endpoint, caller) {
    this.number = number
    this.endpoint = endpoint // where neighbours' workers reach it
    this.caller = caller
    this.state = 'unknown' // never heard; or ready, waiting (up, not ready), silent (gone)
    this.since = 0 // Unix time of its start: it refuses a run that is meant for another life of it
    this.pid = 0
    this.counts = { running: 0, done: 0, failed: 0, lost: 0 }
    this.reserved = 0
    this.losses = new Set() // called when it is lost
    this.hurry = () => {}
  }

  get lives () { return this.state === 'ready' }
  get load () { return this.counts.running + this.reserved }
  get hasRoom () { return this.lives && this.load < ROOM }

  info () {
    const { number: worker, state, endpoint, reserved } = this
    return { worker, state, endpoint, reserved, capacity: ROOM, ...this.counts }
  }

  answered (health) {
    const another = this.pid && (health.pid !== this.pid || health.since !== this.since)
    if (another) this.lose()
    this.pid = health.pid
    this.since = health.since
    this.state = health.ready ? 'ready' : 'waiting'
  }

  lose () {
    if (this.pid) this.counts.lost++
    this.pid = 0
    for (const lost of this.losses) lost()
    this.losses.clear()
  }
}

/** Look after a worker for ever; `changed(worker)` when its state has. */
async function watch (worker, changed) {
  for (;;) {
    const before = worker.state
    try {
      worker.answered(await worker.caller.ask('ping', {}, 'Ping', 'Health', DEAD))
    } catch {
      worker.state = before === 'unknown' ? 'unknown' : 'silent'
      worker.lose()
    }
    if (worker.state !== before) changed(worker)
    const pause = worker.counts.running || !worker.lives ? BUSY : IDLE
    await within(new Promise(resolve => { worker.hurry = resolve }), 1000 * pause)
  }
}

module.exports = { Worker, watch }
