// minio-js: asks ?location first, signs UNSIGNED-PAYLOAD over TLS, writes lower-case form fields and bare XML.

import { Client, CopyConditions, CopyDestinationOptions, CopySourceOptions } from 'minio'

import {
  agent, body, bucket, credentials, digest, endpoint, failure, isTls, main, MIB, PART_SIZE, pathStyle, request,
  streamed, submit, told, withFile,
} from './harness.mjs'

function client(options = {}) {
  return new Client({
    endPoint: endpoint.hostname,
    port: Number(endpoint.port),
    useSSL: isTls,
    accessKey: credentials.accessKeyId,
    secretKey: credentials.secretAccessKey,
    partSize: PART_SIZE,
    pathStyle,
    transportAgent: agent,
    retryOptions: { disableRetry: true },
    ...options,
  })
}

const minio = client()
const read = async (key, ...more) => digest(await minio.getObject(bucket, key, ...more))

async function collect(stream) {
  const found = []
  for await (const item of stream) found.push(item)
  return found
}

const keysBelow = async (prefix) =>
  (await collect(minio.listObjectsV2(bucket, prefix, true))).map((object) => object.name)

await main({
  async create_bucket() {
    const before = await minio.bucketExists(bucket)
    await minio.makeBucket(bucket)
    return {
      before,
      after: await minio.bucketExists(bucket),
      listed: (await minio.listBuckets()).map((found) => found.name),
      again: await failure(() => minio.makeBucket(bucket)),
    }
  },

  async put_a_buffer() {
    const { etag } = await minio.putObject(bucket, 'buffer é.png', body(70_000), 70_000, {
      'Content-Type': 'image/png', 'Cache-Control': 'max-age=60', 'X-Amz-Meta-Colour': 'green', plain: 'word',
    })
    const { size, metaData, etag: seen } = await minio.statObject(bucket, 'buffer é.png')
    return { etag, stat: { size, metadata: metaData, etag: seen }, got: await read('buffer é.png') }
  },

  async put_a_stream() {
    await minio.putObject(bucket, 'stream', streamed(300_000), 300_000)
    return read('stream')
  },

  async put_a_stream_of_unknown_length() {
    const { etag } = await minio.putObject(bucket, 'unsized', streamed(6 * MIB))
    return { etag, ...(await read('unsized')) }
  },

  async put_a_file_in_parts() {
    return withFile(12 * MIB + 5, async (path) => {
      const { etag } = await minio.fPutObject(bucket, 'parts/file é.bin', path, { 'Content-Type': 'video/mp4' })
      const { metaData } = await minio.statObject(bucket, 'parts/file é.bin')
      return { etag, type: metaData['content-type'], ...(await read('parts/file é.bin')) }
    })
  },

  async get_ranges() {
    await minio.putObject(bucket, 'ranged', body(1000))
    const part = (offset, length) => minio.getPartialObject(bucket, 'ranged', offset, length)
    return { middle: await digest(await part(5, 5)), rest: await digest(await part(990)), past: await failure(() => part(1000)) }
  },

  async list() {
    const written = ['list/a', 'list/b c', 'list/d/e', 'list/d/f', 'list/ز', 'list/+&<>']
    await Promise.all(written.map((key) => minio.putObject(bucket, key, 'x')))
    return {
      written,
      v2: await keysBelow('list/'),
      v1: (await collect(minio.listObjects(bucket, 'list/', true))).map((object) => object.name),
      folder: (await collect(minio.listObjectsV2(bucket, 'list/', false))).map((found) => found.name ?? found.prefix),
      after: (await collect(minio.listObjectsV2(bucket, 'list/', true, 'list/d/e'))).map((object) => object.name),
    }
  },

  async copy() {
    await minio.putObject(bucket, 'copy/a é', body(100), 100, { 'X-Amz-Meta-A': '1' })
    const conditions = new CopyConditions()
    const source = `/${bucket}/copy/a é`
    const { etag } = await minio.copyObject(bucket, 'copy/b', source, conditions)
    const unmet = new CopyConditions()
    unmet.setMatchETagExcept(etag)
    return {
      etag,
      metadata: (await minio.statObject(bucket, 'copy/b')).metaData,
      got: await read('copy/b'),
      refused: await failure(() => minio.copyObject(bucket, 'copy/c', source, unmet)),
    }
  },

  async compose() {
    await minio.putObject(bucket, 'compose/1', body(PART_SIZE))
    await minio.putObject(bucket, 'compose/2', body(1000))
    const sources = ['compose/1', 'compose/2'].map((Object) => new CopySourceOptions({ Bucket: bucket, Object }))
    await minio.composeObject(new CopyDestinationOptions({ Bucket: bucket, Object: 'compose/done' }), sources)
    return read('compose/done')
  },

  async unfinished_uploads() {
    const id = await minio.initiateNewMultipartUpload(bucket, 'unfinished/é', {})
    const before = await collect(minio.listIncompleteUploads(bucket, 'unfinished/', true))
    await minio.removeIncompleteUpload(bucket, 'unfinished/é')
    const after = await collect(minio.listIncompleteUploads(bucket, 'unfinished/', true))
    return { before: before.map((found) => [found.key, found.uploadId === id]), after }
  },

  async tagging() {
    await minio.putObject(bucket, 'tagged', 'x')
    await minio.setObjectTagging(bucket, 'tagged', { kind: 'image', state: 'new' })
    const tags = await minio.getObjectTagging(bucket, 'tagged')
    await minio.removeObjectTagging(bucket, 'tagged')
    return { tags, after: await minio.getObjectTagging(bucket, 'tagged') }
  },

  async presigned() {
    const key = 'presigned/é +&.png'
    const put = await minio.presignedPutObject(bucket, key, 600)
    const answer = await request(put, { method: 'PUT', headers: { 'content-type': 'image/png' }, data: body(3000) })
    const get = await minio.presignedGetObject(bucket, key, 600)
    const named = await minio.presignedGetObject(bucket, key, 600, {
      'response-content-type': 'text/plain', 'response-content-disposition': 'attachment; filename="a b.png"',
    })
    const head = await minio.presignedUrl('HEAD', bucket, key, 600)
    return {
      put: await told(answer),
      get: await told(await request(get)),
      named: await told(await request(named)),
      head: await told(await request(head, { method: 'HEAD' })),
      other_key: (await request(get.replace('.png', '.jpg'))).status,
    }
  },

  async presigned_post() {
    const policy = minio.newPostPolicy()
    policy.setBucket(bucket)
    policy.setKeyStartsWith('forms/')
    policy.setContentTypeStartsWith('image/')
    policy.setContentLengthRange(1, 10_000)
    policy.setExpires(new Date(Date.now() + 600_000))
    policy.setUserMetaData({ by: 'form' })
    const { postURL, formData } = await minio.presignedPostPolicy(policy)
    const send = async (size, change = {}) => {
      const fields = { ...formData, key: 'forms/a b.png', 'Content-Type': 'image/png', ...change }
      return told(await submit(postURL, fields, { filename: 'x.png', type: 'image/png', data: body(size) }))
    }
    const made = await send(5000)
    return {
      url: postURL,
      fields: Object.keys(formData),
      made,
      too_large: await send(10_001),
      other_key: await send(10, { key: 'elsewhere' }),
      metadata: (await minio.statObject(bucket, 'forms/a b.png')).metaData,
      got: await read('forms/a b.png'),
    }
  },

  async remove() {
    const keys = ['gone/1', 'gone/<&>', 'gone/کلید', 'gone/4']
    for (const key of keys) await minio.putObject(bucket, key, 'x')
    await minio.removeObject(bucket, 'gone/4')
    const answers = await minio.removeObjects(bucket, keys)
    return { answers, left: await keysBelow('gone/') }
  },

  async errors() {
    const forger = client({ secretKey: 'x'.repeat(40), region: 'us-east-1' })
    return {
      no_key: await failure(() => minio.getObject(bucket, 'none')),
      stat_no_key: await failure(() => minio.statObject(bucket, 'none')),
      no_bucket: await failure(() => minio.getObject(`${bucket}-not`, 'x')),
      wrong_secret: await failure(() => forger.getObject(bucket, 'none')),
      not_empty: await failure(() => minio.removeBucket(bucket)),
    }
  },
})
