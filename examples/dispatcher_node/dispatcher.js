#!/usr/bin/env node
'use strict'
// A dispatcher of qkdbus in Node.js: node dispatcher.js [--wire FOLDER] NODE_DIR
// FOLDER has qkdbus/wire/*.proto below it, by default the one of the repository that this file is in.

const path = require('path')
const { Caller, Publisher, Refusal, Server, readWire, REFUSED, UNAVAILABLE } = require('./bus')
const { readSettings } = require('./node_settings')
const { Worker, watch } = require('./workers')

const HELD = 30 // s that a reservation counts without its exchange
const PATIENCE = 120 // s for an exchange, when the caller does not say

class Dispatcher {
  constructor (wire, workers) {
    this.wire = wire
    this.workers = workers
    this.reserved = new Map() // job -> {worker, timer}
    this.jobs = new Map() // job -> {answer: a promise, cancel}
    this.waiting = [] // reservations that wait for room: {key, peer, priority, bits, resolve, reject, timer}
    this.served = new Map() // peer -> key bits that were begun for it: links take turns by these
  }

  get waitingFor () { return this.workers.some(worker => worker.lives) ? '' : 'a qbackend worker' }

  /** Choose the living worker with the least to do, as soon as one has room. */
  reserve ({ name, priority, bits }, head) {
    const key = this.key(name)
    const held = this.reserved.get(key)
    if (held?.worker.lives) return this.hold(key, held.worker)
    if (this.waitingFor) throw new Refusal(UNAVAILABLE, 'no qbackend worker answers')
    return new Promise((resolve, reject) => {
      const late = () => this.giveUp(key, 'every qbackend worker is busy')
      const timer = setTimeout(late, 0.9 * (head.patienceMs || 5000))
      this.waiting.push({ key, peer: name?.peer ?? '', priority: priority ?? 0, bits: Number(bits ?? 0), resolve, reject, timer })
      this.serveWaiting()
    })
  }

  serveWaiting () {
    for (;;) {
      const [worker] = this.workers.filter(one => one.hasRoom).sort((a, b) => a.load - b.load || a.number - b.number)
      if (!worker || !this.waiting.length) return
      const turn = one => this.served.get(one.peer) ?? 0
      this.waiting.sort((a, b) => b.priority - a.priority || turn(a) - turn(b)) // stable: else who came first
      const next = this.waiting.shift()
      clearTimeout(next.timer)
      this.served.set(next.peer, turn(next) + next.bits)
      next.resolve(this.hold(next.key, worker))
    }
  }

  hold (key, worker) {
    this.release(key)
    worker.reserved++
    this.reserved.set(key, { worker, timer: setTimeout(() => this.release(key), 1000 * HELD) })
    return { worker: worker.number, endpoint: worker.endpoint }
  }

  release (key) {
    const held = this.reserved.get(key)
    if (!held) return
    clearTimeout(held.timer)
    held.worker.reserved--
    this.reserved.delete(key)
  }

  giveUp (key, reason) {
    for (const one of this.waiting.filter(one => one.key === key)) {
      clearTimeout(one.timer)
      one.reject(new Refusal(UNAVAILABLE, reason))
    }
    this.waiting = this.waiting.filter(one => one.key !== key)
  }

  /** Have a block formed by the worker that was reserved. Never an error: an answer without a block says why. */
  exchange (request, head) {
    const key = this.key(request.name)
    const worker = this.workers[request.worker]
    if (!this.jobs.has(key) && !worker) throw new Refusal(REFUSED, `there is no worker ${request.worker}`)
    if (!this.jobs.has(key)) this.begin(key, worker, request, head)
    return this.jobs.get(key).answer
  }

  begin (key, worker, request, head) {
    this.release(key)
    worker.counts.running++
    let cancel, lose
    const cancelled = new Promise(resolve => { cancel = () => resolve({ failure: 'cancelled' }) })
    const lost = new Promise(resolve => { lose = () => resolve({ failure: 'worker died' }) })
    worker.losses.add(lose)
    const answer = Promise.race([this.run(worker, request, head), cancelled, lost]).then(found => {
      worker.losses.delete(lose)
      worker.counts.running--
      worker.counts[found.block ? 'done' : 'failed']++
      this.jobs.delete(key)
      if (found.failure === 'worker died') found.again = this.workers.some(one => one.lives && one !== worker)
      if (found.failure === 'cancelled' || found.failure === 'worker died') this.tellOff(worker, request.name)
      this.serveWaiting()
      return found
    })
    this.jobs.set(key, { answer, cancel })
  }

  async run (worker, exchange, head) {
    try {
      const patience = head.patienceMs / 1000 || PATIENCE
      return await worker.caller.ask('run', { exchange, since: worker.since }, 'Run', 'Exchanged', patience, head.trace)
    } catch (error) {
      worker.hurry() // look at it now
      return { failure: error.message }
    }
  }

  tellOff (worker, name) {
    worker.caller.ask('abort', { name }, 'Abort', 'Aborted', 2).catch(() => {}) // when it is gone, so is the job
  }

  cancel ({ name }) {
    const key = this.key(name)
    this.release(key)
    this.giveUp(key, 'cancelled')
    this.jobs.get(key)?.cancel()
    this.serveWaiting()
    return {}
  }

  listWorkers () {
    return { workers: this.workers.map(worker => worker.info()) }
  }

  async stop () {
    const answers = [...this.jobs.values()].map(job => job.answer)
    for (const job of this.jobs.values()) job.cancel()
    await Promise.all(answers)
  }

  key (name) {
    return Buffer.from(this.wire('JobName').encode(name ?? {}).finish()).toString('hex')
  }
}

async function main () {
  const words = process.argv.slice(2)
  const at = words.indexOf('--wire')
  const [, wireFolder] = at < 0 ? [] : words.splice(at, 2)
  const [folder] = words
  if (!folder) throw new Error('usage: dispatcher.js [--wire FOLDER] NODE_DIR')
  process.umask(0o077)
  const settings = readSettings(folder)
  const wire = readWire(wireFolder ?? path.join(__dirname, '../../common'))
  const who = { node: settings.name, layer: 'dispatcher', replica: 0 }
  const log = (level, event, fields = {}) => console.log(JSON.stringify({ at: Date.now() / 1000, level, ...who, event, ...fields }))
  const socket = name => path.join(settings.run, name)
  const workers = settings.ports.qbackend.map((port, number) =>
    new Worker(number, `tcp://${settings.host}:${port}`, new Caller(wire, socket(`qbackend.${number}`))))
  const dispatcher = new Dispatcher(wire, workers)
  const events = new Publisher(wire, who)
  const since = Date.now() / 1000

  const ping = () => ({
    ...who,
    implementation: `dispatcher_node on Node.js ${process.version}`,
    contractVersion: 1,
    ready: !dispatcher.waitingFor,
    since,
    pid: process.pid,
    waitingFor: dispatcher.waitingFor
  })
  const describe = () => ({
    counters: server.counters,
    gauges: { running: dispatcher.jobs.size, workers: workers.filter(worker => worker.lives).length },
    configuration: JSON.stringify({ name: settings.name, workers: workers.map(worker => worker.endpoint) })
  })
  const server = new Server(wire, {
    ping: { request: 'Ping', answer: 'Health', carryOut: ping },
    describe: { request: 'Describe', answer: 'Description', carryOut: describe },
    reserve: { request: 'Reserve', answer: 'Reserved', remember: true, carryOut: (asked, head) => dispatcher.reserve(asked, head) },
    exchange: { request: 'Exchange', answer: 'Exchanged', remember: true, carryOut: (asked, head) => dispatcher.exchange(asked, head) },
    cancel: { request: 'Cancel', answer: 'Cancelled', carryOut: asked => dispatcher.cancel(asked) },
    list_workers: { request: 'ListWorkers', answer: 'Workers', carryOut: () => dispatcher.listWorkers() }
  }, log)

  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, async () => {
      log('info', 'stopping')
      setTimeout(() => process.exit(0), 1000) // whoever still waits will ask the next dispatcher
      await dispatcher.stop()
      await server.outbox.last
      process.exit(0)
    })
  }
  await events.bind(socket('dispatcher.events'))
  for (const worker of workers) {
    watch(worker, ({ number, state }) => {
      log('info', 'worker', { worker: number, state })
      events.publish('worker', { worker: String(number), state })
      dispatcher.serveWaiting()
    })
  }
  log('info', 'started', { pid: process.pid })
  await server.serve(socket('dispatcher'))
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
