// The upload server that web teams write: express, multer and multer-s3, with an HTML form's file ending in the bucket.
// multer-s3 3.x stands on the SDK v3, 2.x on the SDK v2. The `location` it tells the application must reach the object.

import { once } from 'node:events'

import { CreateBucketCommand, HeadObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { SignatureV4 } from '@smithy/signature-v4'
import AWS from 'aws-sdk'
import express from 'express'
import multer from 'multer'
import multerS3 from 'multer-s3'
import multerS3Old from 'multer-s3-v2'

import {
  agent, body, bucket, credentials, endpoint, failure, main, MIB, pathStyle, request, Sha256, submit, told,
} from './harness.mjs'

const s3 = new S3Client({
  endpoint: endpoint.href, region: 'default', forcePathStyle: pathStyle, credentials, maxAttempts: 1,
  requestHandler: { httpAgent: agent, httpsAgent: agent },
})
const s3Old = new AWS.S3({
  endpoint: endpoint.href, region: 'default', s3ForcePathStyle: pathStyle, ...credentials, maxRetries: 0,
  httpOptions: { agent },
})

/** An application with one form; it answers with what multer-s3 made of the file. Call `use` with its address. */
async function serve(storage, limits, use) {
  const application = express()
  application.post('/upload', multer({ storage, limits }).single('photo'), (asked, answer) => {
    answer.json({ fields: asked.body, file: asked.file })
  })
  application.use((error, asked, answer, _next) => {
    answer.status(400).json({ error: error.code ?? error.name, message: error.message })
  })
  const server = application.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    return await use(`http://127.0.0.1:${server.address().port}/upload`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

/** A path as SigV4 wants it: every byte but unreserved ones and slashes as %XX. */
const canonical = (path) =>
  encodeURI(decodeURIComponent(path)).replace(
    /[!'()*;?:@&=+$,#]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )

/** GET `location` as it stands, with a signature in the query. */
async function fetchBack(location) {
  const url = new URL(location)
  const signer = new SignatureV4({
    service: 's3', region: 'default', credentials, sha256: Sha256, uriEscapePath: false, applyChecksum: false,
  })
  const { query } = await signer.presign(
    {
      method: 'GET', protocol: url.protocol, hostname: url.hostname, port: Number(url.port), path: canonical(url.pathname),
      query: {}, headers: { host: url.host, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' },
    },
    { expiresIn: 300 },
  )
  url.search = new URLSearchParams(query).toString()
  return request(url.href)
}

async function upload(storage, { size, filename, limits }) {
  return serve(storage, limits, async (address) => {
    const answer = await submit(
      address, { title: 'سلام' }, { name: 'photo', filename, type: 'image/png', data: body(size) },
    )
    const { fields, file, error } = JSON.parse(answer.data.toString())
    if (!file?.location) return { status: answer.status, fields, error }
    return { status: answer.status, fields, file, back: await told(await fetchBack(file.location)) }
  })
}

const storages = {
  v3: (options) => multerS3({ s3, bucket, ...options }),
  v2: (options) => multerS3Old({ s3: s3Old, bucket, ...options }),
}

const cases = {
  async create_bucket() {
    await s3.send(new CreateBucketCommand({ Bucket: bucket }))
  },
}

for (const [version, storage] of Object.entries(storages)) {
  const named = (key) => storage({
    key: (asked, file, done) => done(null, key ?? `${version}/${file.originalname}`),
    contentType: (asked, file, done) => done(null, file.mimetype),
    metadata: (asked, file, done) => done(null, { fieldname: file.fieldname, title: encodeURIComponent(asked.body.title) }),
    cacheControl: 'private, max-age=60',
  })

  cases[`small_file_${version}`] = () => upload(named(), { size: 200_000, filename: 'a photo.png' })
  cases[`large_file_${version}`] = () => upload(named(), { size: 12 * MIB + 3, filename: 'a large photo.png' })
  cases[`foreign_name_${version}`] = () => upload(named(), { size: 6 * MIB, filename: 'عکس +1&2.png' })
  cases[`as_installed_${version}`] = async () => {
    const done = await upload(storage({}), { size: 1000, filename: 'x.png' })
    const { ContentType } = await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: done.file.key }))
    return { ...done, type: ContentType }
  }
  cases[`too_large_for_the_form_${version}`] = async () => {
    const Key = `${version}/too-large`
    const refused = await upload(named(Key), { size: 300_000, filename: 'x', limits: { fileSize: 100_000 } })
    return { ...refused, head: await failure(() => s3.send(new HeadObjectCommand({ Bucket: bucket, Key }))) }
  }
}

await main(cases)
