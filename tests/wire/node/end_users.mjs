// An application with end users: its service begins sessions for them, with which the SDK v3 and minio-js upload, or
// stores for them itself, through a form with multer-s3 (3.x on the SDK v3, 2.x on the SDK v2).
//
// Environment, beside harness.mjs': the key is a service's, BUCKET a private category, PUBLIC_BUCKET a public one,
// ROLE_ARN the role of a session, END_USER its name, FOREIGN_KEY an object of somebody else in BUCKET.

import { once } from 'node:events'

import { GetObjectCommand, paginateListObjectsV2, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts'
import { Upload } from '@aws-sdk/lib-storage'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import AWS from 'aws-sdk'
import express from 'express'
import { Client } from 'minio'
import AssumeRoleProvider from 'minio/dist/esm/AssumeRoleProvider.mjs'
import multer from 'multer'
import multerS3 from 'multer-s3'
import multerS3Old from 'multer-s3-v2'

import {
  agent, body, bucket as Bucket, credentials, digest, endpoint, failure, isTls, main, MIB, PART_SIZE, request, streamed,
  submit, told,
} from './harness.mjs'

const { PUBLIC_BUCKET, ROLE_ARN, END_USER, FOREIGN_KEY } = process.env
const LARGE = 12 * MIB + 5

const options = {
  endpoint: endpoint.href, region: 'us-east-1', maxAttempts: 1,
  requestHandler: { httpAgent: agent, httpsAgent: agent },
}
const sts = new STSClient({ ...options, credentials })
const client = (of) => new S3Client({ ...options, credentials: of, forcePathStyle: true })

async function session() {
  const wanted = new AssumeRoleCommand({ RoleArn: ROLE_ARN, RoleSessionName: END_USER, DurationSeconds: 900 })
  const { Credentials } = await sts.send(wanted)
  return client({
    accessKeyId: Credentials.AccessKeyId,
    secretAccessKey: Credentials.SecretAccessKey,
    sessionToken: Credentials.SessionToken,
  })
}

async function keysOf(s3) {
  const keys = []
  for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket }))
    keys.push(...(page.Contents ?? []).map((object) => object.Key))
  return keys
}

/** Send `body(size)` through a form to multer-s3's storage; what it made of the file, or how it failed. */
async function uploadThrough(storage, size) {
  const application = express()
  application.post('/upload', multer({ storage }).single('photo'), (asked, answer) => answer.json(asked.file))
  application.use((error, asked, answer, _next) => answer.status(400).json({ error: error.Code ?? error.code }))
  const server = application.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const address = `http://127.0.0.1:${server.address().port}/upload`
    const answer = await submit(address, {}, { name: 'photo', filename: 'a.png', type: 'image/png', data: body(size) })
    return JSON.parse(answer.data.toString())
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

const service = client(credentials)
const serviceOld = new AWS.S3({
  endpoint: endpoint.href, region: 'us-east-1', s3ForcePathStyle: true, ...credentials, maxRetries: 0,
  httpOptions: { agent },
})
const storages = {
  v3: (more) => multerS3({ s3: service, ...more }),
  v2: (more) => multerS3Old({ s3: serviceOld, ...more }),
}

const cases = {
  async sdk_v3() {
    const s3 = await session()
    const Key = `${END_USER}/sdk v3 é`
    await new Upload({ client: s3, params: { Bucket, Key, Body: streamed(LARGE) }, partSize: PART_SIZE }).done()
    return {
      got: await digest((await s3.send(new GetObjectCommand({ Bucket, Key }))).Body),
      listed: await keysOf(s3),
      foreign: await failure(() => s3.send(new GetObjectCommand({ Bucket, Key: FOREIGN_KEY }))),
      onto: await failure(() => s3.send(new PutObjectCommand({ Bucket, Key: FOREIGN_KEY, Body: 'x' }))),
    }
  },

  async sdk_v3_presigned() {
    const s3 = await session()
    const Key = `${END_USER}/presigned`
    const put = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key }), { expiresIn: 600 })
    const get = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key }), { expiresIn: 600 })
    const foreign = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key: FOREIGN_KEY }), { expiresIn: 600 })
    const { url, fields } = await createPresignedPost(s3, { Bucket, Key: `${END_USER}/form` })
    return {
      put: (await request(put, { method: 'PUT', data: body(3000) })).status,
      get: await told(await request(get)),
      foreign: await told(await request(foreign)),
      fields: Object.keys(fields),
      post: (await submit(url, fields, { filename: 'a', type: 'image/png', data: body(100) })).status,
    }
  },

  async refused_by_sts() {
    const ask = (more) =>
      failure(() => sts.send(new AssumeRoleCommand({ RoleArn: ROLE_ARN, RoleSessionName: END_USER, ...more })))
    return {
      role: await ask({ RoleArn: 'arn:aws:iam::app:role/admin' }),
      duration: await ask({ DurationSeconds: 50_000 }),
      admin: await ask({ RoleSessionName: 'ops' }),
    }
  },

  async minio_js() {
    const provider = new AssumeRoleProvider({
      stsEndpoint: endpoint.href, accessKey: credentials.accessKeyId, secretKey: credentials.secretAccessKey,
      roleArn: ROLE_ARN, roleSessionName: END_USER, transportAgent: agent,
    })
    const minio = new Client({
      endPoint: endpoint.hostname, port: Number(endpoint.port), useSSL: isTls, credentialsProvider: provider,
      partSize: PART_SIZE, pathStyle: true, transportAgent: agent, retryOptions: { disableRetry: true },
    })
    const key = `${END_USER}/minio-js é`
    await minio.putObject(Bucket, key, streamed(LARGE), LARGE)
    const got = await digest(await minio.getObject(Bucket, key))
    const listed = []
    for await (const object of minio.listObjectsV2(Bucket, '', true)) listed.push(object.name)
    const url = await minio.presignedGetObject(Bucket, key, 600)
    return {
      got, listed,
      presigned: await told(await request(url)),
      foreign: await failure(() => minio.getObject(Bucket, FOREIGN_KEY)),
    }
  },
}

for (const [version, storage] of Object.entries(storages)) {
  const upload = (name, more, size) =>
    uploadThrough(
      storage({
        bucket: Bucket,
        key: (asked, file, done) => done(null, `${END_USER}/${version} ${name}`),
        metadata: (asked, file, done) => done(null, { uploader: END_USER, fieldname: file.fieldname }),
        ...more,
      }),
      size,
    )

  cases[`multer_${version}`] = async () => ({
    small: await upload('small', { acl: 'private' }, 1000),
    large: await upload('large', { storageClass: 'STANDARD' }, LARGE),
    picture: await upload('picture', { bucket: PUBLIC_BUCKET, acl: 'public-read' }, 2000),
    published: await upload('published', { acl: 'public-read' }, 1000),
  })
}

await main(cases)
