'use strict'
// The bus of qkdbus: three frames, "qkdbus/1", Head, body, after the routing envelope and its empty delimiter.
// A server is a ROUTER; a caller is a DEALER that sends a call again, under its own number, until it is answered.

const crypto = require('crypto')
const fs = require('fs')
const path = require('path')
const protobuf = require('protobufjs')
const zmq = require('zeromq')

const PROTOCOL = Buffer.from('qkdbus/1')
const LARGEST = 32 << 20 // octets in one message
const OK = 0
const REFUSED = 1
const UNAVAILABLE = 4
const FAILED = 5
const CALLERS = 1024 // of which answers are remembered
const ANSWERS = 4096 // of each
const SOCKET = { linger: 0, maxMessageSize: LARGEST, heartbeatInterval: 1000, heartbeatTimeout: 3000 }

/** What a method throws to refuse, with what the caller may do: REFUSED (never like this), UNAVAILABLE (later). */
class Refusal extends Error {
  constructor (outcome, reason) {
    super(reason)
    this.outcome = outcome
  }
}

/** Read the .proto files below `folder`; return name -> message type. They are the contract, so read at each start. */
function readWire (folder) {
  const root = new protobuf.Root()
  root.resolvePath = (origin, target) => path.join(folder, target)
  root.loadSync(['head', 'dispatcher', 'qbackend'].map(name => `qkdbus/wire/${name}.proto`))
  return name => root.lookupType(`qkdbus.${name}`)
}

/** Sends one message after the other: a socket of zeromq.js takes no second one before the first is gone. */
class Outbox {
  constructor (socket) {
    this.socket = socket
    this.last = Promise.resolve()
  }

  send (frames) { // whoever has gone, or does not read, will ask again
    this.last = this.last.then(() => this.socket.send(frames)).catch(() => {})
  }
}

/** One ROUTER. `methods`: name -> {request, answer, remember, carryOut(request, head) -> answer or a promise of it}. */
class Server {
  constructor (wire, methods, log) {
    this.wire = wire
    this.methods = methods
    this.log = log
    this.counters = {}
    this.memory = new Map() // caller -> {settled, answers: number -> [head, body]}
    this.running = new Map() // caller and number -> where its answer goes
    this.socket = new zmq.Router({ ...SOCKET, mandatory: true, sendTimeout: 0, sendHighWaterMark: 20000 })
    this.outbox = new Outbox(this.socket)
  }

  async serve (file) {
    await this.socket.bind(`ipc://${file}`)
    fs.chmodSync(file, 0o600)
    for await (const frames of this.socket) this.take(frames)
  }

  take (frames) {
    const cut = frames.findIndex(frame => frame.length === 0) + 1
    if (!cut) return
    const envelope = frames.slice(0, cut)
    const [protocol, said, body] = frames.slice(cut)
    let head
    try {
      if (frames.length !== cut + 3 || !protocol.equals(PROTOCOL)) throw new Error('expected qkdbus/1, head, body')
      head = this.wire('Head').decode(said)
    } catch (error) {
      return this.answer(envelope, { call: 0 }, this.refusal({}, REFUSED, error.message))
    }
    const method = Object.hasOwn(this.methods, head.method) ? this.methods[head.method] : null
    if (!method) {
      return this.answer(envelope, head, this.refusal(head, REFUSED, `no method ${head.method.slice(0, 64)}`))
    }
    const caller = Buffer.from(head.caller).toString('hex')
    const named = caller && !isZero(head.call)
    const name = named ? `${caller} ${head.call}` : ''
    if (named && this.running.has(name)) { // a repeat while it runs: the answer goes to where it was asked last
      this.running.get(name).envelope = envelope
      return
    }
    if (named && method.remember) {
      const known = this.recall(caller, head)
      if (known) return known.length ? this.answer(envelope, head, known) : undefined
    }
    this.carryOut(method, body, head, { envelope, name, caller })
  }

  async carryOut (method, body, head, reply) {
    this.counters[head.method] = (this.counters[head.method] ?? 0) + 1
    let frames
    if (reply.name) this.running.set(reply.name, reply)
    try {
      const answer = await method.carryOut(this.read(method, body, head), head)
      frames = [this.wire('Head').encode({ call: head.call }).finish(), this.wire(method.answer).encode(answer).finish()]
      if (reply.name && method.remember) this.keep(reply.caller, String(head.call), frames)
    } catch (error) {
      if (!(error instanceof Refusal)) this.log('error', 'fault', { method: head.method, kind: error.name, said: error.message })
      frames = this.refusal(head, error.outcome ?? FAILED, error.message)
    }
    this.running.delete(reply.name)
    this.answer(reply.envelope, head, frames)
  }

  read (method, body, head) {
    try {
      return this.wire(method.request).decode(body)
    } catch {
      throw new Refusal(REFUSED, `${head.method}: the body is no ${method.request}`)
    }
  }

  /** Return the frames of a call that was answered before, [] for one that is settled already, null for a new one. */
  recall (caller, head) {
    const known = this.memory.get(caller)
    if (!known) return null
    const settled = BigInt(String(head.settled))
    if (settled > known.settled) {
      known.settled = settled
      for (const number of known.answers.keys()) if (BigInt(number) < settled) known.answers.delete(number)
    }
    return BigInt(String(head.call)) < known.settled ? [] : known.answers.get(String(head.call)) ?? null
  }

  keep (caller, number, frames) {
    const known = this.memory.get(caller) ?? { settled: 0n, answers: new Map() }
    this.memory.delete(caller) // and put it behind the others: the first one is the one not heard for longest
    this.memory.set(caller, known)
    known.answers.set(number, frames)
    if (known.answers.size > ANSWERS) known.answers.delete(known.answers.keys().next().value)
    if (this.memory.size > CALLERS) this.memory.delete(this.memory.keys().next().value)
  }

  refusal (head, outcome, reason) {
    return [this.wire('Head').encode({ call: head.call ?? 0, outcome, reason }).finish(), Buffer.alloc(0)]
  }

  answer (envelope, head, frames) {
    const notice = isZero(head.call) && head.caller?.length // nobody waits
    if (!notice) this.outbox.send([...envelope, PROTOCOL, ...frames])
  }
}

/** Asks one server. */
class Caller {
  constructor (wire, file) {
    this.wire = wire
    this.id = crypto.randomBytes(16)
    this.number = 0
    this.waiting = new Map() // number -> what becomes of its answer
    this.socket = new zmq.Dealer({ ...SOCKET, immediate: true, sendTimeout: 0, reconnectInterval: 20, reconnectMaxInterval: 500 })
    this.socket.connect(`ipc://${file}`)
    this.outbox = new Outbox(this.socket)
    this.listen()
  }

  /** Call a method; reject with a Refusal, or with an Error when nobody answers within `patience` s. */
  async ask (method, request, type, answerType, patience, trace = Buffer.alloc(0)) {
    const call = ++this.number
    const body = this.wire(type).encode(request).finish()
    const ends = Date.now() + 1000 * patience
    const answer = new Promise(resolve => this.waiting.set(call, resolve))
    try {
      for (let pause = 200; ; pause = Math.min(2 * pause, 2000)) {
        const settled = Math.min(...this.waiting.keys())
        const head = { method, caller: this.id, call, settled, patienceMs: 1000 * patience, trace }
        this.outbox.send([Buffer.alloc(0), PROTOCOL, this.wire('Head').encode(head).finish(), body])
        const found = await within(answer, Math.min(pause, ends - Date.now()))
        if (found) return this.judged(method, found, answerType)
        if (Date.now() >= ends) throw new Error(`${method}: no answer`)
      }
    } finally {
      this.waiting.delete(call)
    }
  }

  judged (method, [head, body], answerType) {
    if (head.outcome !== OK) throw new Refusal(head.outcome, `${method}: ${head.reason}`)
    return this.wire(answerType).decode(body)
  }

  async listen () {
    for await (const [delimiter, protocol, said, body] of this.socket) {
      if (!body || delimiter.length || !protocol.equals(PROTOCOL)) continue
      const head = this.wire('Head').decode(said)
      this.waiting.get(Number(head.call))?.([head, body])
    }
  }
}

/** Publishes events, numbered; never waits for a listener. */
class Publisher {
  constructor (wire, who) {
    this.wire = wire
    this.who = who
    this.number = 0
    this.socket = new zmq.Publisher({ linger: 0, sendHighWaterMark: 1000 })
    this.outbox = new Outbox(this.socket)
  }

  bind (file) {
    return this.socket.bind(`ipc://${file}`)
  }

  publish (name, fields) {
    const event = { ...this.who, number: ++this.number, at: Date.now() / 1000, name, fields }
    this.outbox.send([`${this.who.node}.${this.who.layer}.${name}`, this.wire('Event').encode(event).finish()])
  }
}

/** Wait for a promise for so many ms; null when it takes longer. */
async function within (promise, ms) {
  let timer
  const late = new Promise(resolve => { timer = setTimeout(resolve, Math.max(0, ms), null) })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

const isZero = number => !number || String(number) === '0'

module.exports = { Caller, Publisher, Refusal, Server, readWire, within, REFUSED, UNAVAILABLE }
