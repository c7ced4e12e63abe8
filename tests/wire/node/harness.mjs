// What the client scripts of this folder share: where the gateway is, bodies that a test can make again, plain HTTP
// requests that reach virtual-host names, and cases whose facts are printed as one JSON object for pytest to judge.
//
// Environment: ENDPOINT, ACCESS_KEY_ID, SECRET_ACCESS_KEY, BUCKET (a name that nobody has used), STYLE ("path", the
// default, or "virtual"), CASES (names separated by commas; all by default) and, for TLS, NODE_EXTRA_CA_CERTS.

import { createCipheriv, createHash, createHmac } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'

export const MIB = 1024 * 1024
export const PART_SIZE = 5 * MIB

const environment = (name) => {
  if (!process.env[name]) throw new Error(`the environment has no ${name}`)
  return process.env[name]
}

export const bucket = environment('BUCKET')
export const credentials = {
  accessKeyId: environment('ACCESS_KEY_ID'),
  secretAccessKey: environment('SECRET_ACCESS_KEY'),
}
export const pathStyle = process.env.STYLE !== 'virtual'

/** The gateway's address; for virtual-host style by the name whose sub-domains are buckets. */
export const endpoint = (() => {
  const url = new URL(environment('ENDPOINT'))
  if (!pathStyle) url.hostname = 's3.localhost'
  return url
})()
export const isTls = endpoint.protocol === 'https:'

/** Every name is this machine: systems differ in whether they resolve sub-domains of localhost. */
const lookup = (hostname, options, done) =>
  options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)

export const agent = new (isTls ? https : http).Agent({ keepAlive: true, maxSockets: 16, lookup })

/** The same bytes as `body` in node_clients.py: an AES-CTR key stream, so that no two stretches are alike. */
export function body(size) {
  return createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(size))
}

/** `body(size)` in pieces that fit no boundary of chunks, parts or sockets. */
export function streamed(size, pieceSize = 100_003) {
  const whole = body(size)
  function* pieces() {
    for (let start = 0; start < whole.length; start += pieceSize) yield whole.subarray(start, start + pieceSize)
  }
  return Readable.from(pieces(), { objectMode: false })
}

/** Call `use` with the path of a file of `size` bytes. */
export async function withFile(size, use) {
  const folder = mkdtempSync(join(tmpdir(), 'anbar-wire-'))
  try {
    const path = join(folder, 'file.bin')
    writeFileSync(path, body(size))
    return await use(path)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Read a stream, or take a buffer, to the end: its size and SHA-256. */
export async function digest(source) {
  const hash = createHash('sha256')
  let size = 0
  const chunks = Buffer.isBuffer(source) || source instanceof Uint8Array ? [source] : source
  for await (const chunk of chunks) {
    hash.update(chunk)
    size += chunk.length
  }
  return { size, sha256: hash.digest('hex') }
}

/** One plain request, as a browser or curl makes it: {status, headers, data}. */
export function request(url, { method = 'GET', headers = {}, data } = {}) {
  return new Promise((resolve, reject) => {
    const same = new URL(url).protocol === endpoint.protocol
    const library = new URL(url).protocol === 'https:' ? https : http
    const sent = library.request(url, { method, headers, agent: same ? agent : undefined }, async (answer) => {
      try {
        const chunks = []
        for await (const chunk of answer) chunks.push(chunk)
        resolve({ status: answer.statusCode, headers: answer.headers, data: Buffer.concat(chunks) })
      } catch (error) {
        reject(error)
      }
    })
    sent.on('error', reject)
    sent.end(data)
  })
}

/** An answer as JSON: its status, headers, size, SHA-256, and its text if it is XML. */
export async function told({ status, headers, data }) {
  const isXml = (headers['content-type'] ?? '').includes('xml')
  return { status, headers, ...(await digest(data)), ...(isXml ? { text: data.toString() } : {}) }
}

/** Submit a multipart/form-data form as a browser does; the file comes last. */
export async function submit(url, fields, { name = 'file', filename, type, data }) {
  const form = new FormData()
  for (const [field, value] of Object.entries(fields)) form.append(field, value)
  form.append(name, new Blob([data], { type }), filename)
  const encoded = new Response(form)
  return request(url, {
    method: 'POST',
    headers: { 'content-type': encoded.headers.get('content-type') },
    data: Buffer.from(await encoded.arrayBuffer()),
  })
}

/** Hashes for @smithy/signature-v4, which takes them from outside. */
export class Sha256 {
  constructor(secret) {
    this.hash = secret === undefined ? createHash('sha256') : createHmac('sha256', Buffer.from(secret))
  }
  update(data) {
    this.hash.update(typeof data === 'string' ? data : Buffer.from(data))
  }
  async digest() {
    return new Uint8Array(this.hash.digest())
  }
}

/** What an SDK says of an error, under one set of names. */
function describeError(error) {
  return {
    name: error.name,
    code: error.Code ?? error.code,
    message: String(error.message),
    status: error.$metadata?.httpStatusCode ?? error.statusCode,
    stack: error.stack,
  }
}

/** Run `action`, which must fail; how it failed, without the stack. */
export async function failure(action) {
  try {
    await action()
  } catch (error) {
    const { stack, ...facts } = describeError(error)
    return facts
  }
  return { name: 'nothing failed' }
}

/** Run the cases one after the other and print {case: {facts}} or {case: {error}} on standard output. */
export async function main(cases) {
  const wanted = process.env.CASES ? process.env.CASES.split(',') : Object.keys(cases)
  const results = {}
  for (const name of wanted) {
    try {
      results[name] = { facts: (await cases[name]()) ?? {} }
    } catch (error) {
      results[name] = { error: describeError(error) }
    }
  }
  agent.destroy()
  process.stdout.write(JSON.stringify(results, (_, value) => (value === undefined ? null : value)))
}
