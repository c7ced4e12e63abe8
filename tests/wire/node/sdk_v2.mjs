// aws-sdk-js v2: header signatures are SigV4, while getSignedUrl makes SigV2 unless it is told otherwise.

import { createReadStream } from 'node:fs'

import AWS from 'aws-sdk'

import {
  agent, body, bucket, credentials, digest, endpoint, failure, main, MIB, PART_SIZE, pathStyle, request, streamed,
  submit, told, withFile,
} from './harness.mjs'

const Bucket = bucket

function client(options = {}) {
  return new AWS.S3({
    endpoint: endpoint.href,
    s3ForcePathStyle: pathStyle,
    ...credentials,
    maxRetries: 0,
    httpOptions: { agent },
    ...options,
  })
}

const s3 = client()
const s3v4 = client({ signatureVersion: 'v4', region: 'default' })
const put = (Key, Body, more = {}) => s3.putObject({ Bucket, Key, Body, ...more }).promise()

async function read(Key, more = {}) {
  const { Body, ...facts } = await s3.getObject({ Bucket, Key, ...more }).promise()
  return { ...facts, ...(await digest(Body)) }
}

async function keysBelow(Prefix) {
  const { Contents } = await s3.listObjectsV2({ Bucket, Prefix }).promise()
  return Contents.map((found) => found.Key)
}

/** The life of presigned URLs, which is the same whatever the signature's version. */
async function presigned(signer, folder) {
  const Key = `${folder}/é +&.png`
  const put_ = signer.getSignedUrl('putObject', { Bucket, Key, ContentType: 'image/png', Expires: 600 })
  const answer = await request(put_, { method: 'PUT', headers: { 'content-type': 'image/png' }, data: body(3000) })
  const get = signer.getSignedUrl('getObject', { Bucket, Key })
  const named = await signer.getSignedUrlPromise('getObject', {
    Bucket, Key, ResponseContentDisposition: 'attachment; filename="a b.png"',
  })
  const head = signer.getSignedUrl('headObject', { Bucket, Key })
  const past = signer.getSignedUrl('getObject', { Bucket, Key, Expires: -60 })
  const back = await read(Key)
  const remove = signer.getSignedUrl('deleteObject', { Bucket, Key })
  return {
    url: put_,
    put: await told(answer),
    get: await told(await request(get)),
    ranged: await told(await request(get, { headers: { range: 'bytes=10-19' } })),
    named: await told(await request(named)),
    head: await told(await request(head, { method: 'HEAD' })),
    expired: past === '' ? null : await told(await request(past)),
    other_key: await told(await request(get.replace('.png', '.jpg'))),
    other_method: await told(await request(get, { method: 'DELETE' })),
    other_type: await told(
      await request(put_, { method: 'PUT', headers: { 'content-type': 'text/html' }, data: body(1) }),
    ),
    back,
    removed: (await request(remove, { method: 'DELETE' })).status,
    left: await keysBelow(`${folder}/`),
  }
}

await main({
  async create_bucket() {
    await s3.createBucket({ Bucket }).promise()
    const { Buckets } = await s3.listBuckets().promise()
    return {
      head: await s3.headBucket({ Bucket }).promise(),
      listed: Buckets.map((found) => found.Name),
      again: await failure(() => s3.createBucket({ Bucket }).promise()),
    }
  },

  async put_a_buffer() {
    const { ETag } = await put('buffer.png', body(70_000), {
      ContentType: 'image/png', CacheControl: 'max-age=60', Metadata: { colour: 'green' }, ACL: 'private',
    })
    return { etag: ETag, head: await s3.headObject({ Bucket, Key: 'buffer.png' }).promise(), got: await read('buffer.png') }
  },

  async put_a_file_stream() {
    return withFile(3 * MIB + 17, async (path) => {
      await put('file-stream', createReadStream(path))
      return read('file-stream')
    })
  },

  async put_with_signed_payload_v4() {
    await s3v4.putObject({ Bucket, Key: 'signed/key é', Body: body(9000) }).promise()
    return read('signed/key é')
  },

  async get_ranges_and_streams() {
    await put('ranged', body(200_000))
    const stream = s3.getObject({ Bucket, Key: 'ranged' }).createReadStream()
    const ranged = await read('ranged', { Range: 'bytes=5-9' })
    return {
      stream: await digest(stream),
      range: { part: ranged.ContentRange, size: ranged.size, sha256: ranged.sha256 },
      past: await failure(() => read('ranged', { Range: 'bytes=200000-' })),
      same: await failure(() => read('ranged', { IfNoneMatch: ranged.ETag })),
    }
  },

  async upload_a_stream_in_parts() {
    const Key = 'parts/stream é.bin'
    const { Location, ETag } = await s3
      .upload({ Bucket, Key, Body: streamed(12 * MIB + 5), ContentType: 'video/mp4' }, { partSize: PART_SIZE, queueSize: 3 })
      .promise()
    const back = await read(Key)
    return { location: Location, etag: ETag, type: back.ContentType, size: back.size, sha256: back.sha256 }
  },

  async upload_a_small_buffer() {
    const { Location, ETag } = await s3.upload({ Bucket, Key: 'parts/small', Body: body(1000) }).promise()
    return { location: Location, etag: ETag, ...(await read('parts/small')) }
  },

  async list() {
    const written = ['list/a', 'list/b c', 'list/d/e', 'list/d/f', 'list/ز', 'list/+&<>']
    await Promise.all(written.map((Key) => put(Key, 'x')))
    const pages = []
    let ContinuationToken
    do {
      const page = await s3
        .listObjectsV2({ Bucket, Prefix: 'list/', Delimiter: '/', MaxKeys: 2, ContinuationToken, FetchOwner: true })
        .promise()
      pages.push([...page.Contents.map((found) => found.Key), ...page.CommonPrefixes.map((found) => found.Prefix)])
      ContinuationToken = page.NextContinuationToken
    } while (ContinuationToken)
    const { Contents } = await s3.listObjects({ Bucket, Prefix: 'list/', EncodingType: 'url' }).promise()
    return { written, pages, v1: Contents.map((found) => found.Key) }
  },

  async copy_tag_and_delete() {
    await put('copy/a é', body(100), { Metadata: { a: '1' }, Tagging: 'kind=image' })
    const { CopyObjectResult } = await s3
      .copyObject({ Bucket, Key: 'copy/b', CopySource: encodeURI(`/${Bucket}/copy/a é`) })
      .promise()
    const { TagSet } = await s3.getObjectTagging({ Bucket, Key: 'copy/b' }).promise()
    const back = await read('copy/b')
    const Objects = ['copy/a é', 'copy/b'].map((Key) => ({ Key }))
    const { Deleted } = await s3.deleteObjects({ Bucket, Delete: { Objects } }).promise()
    return {
      etag: CopyObjectResult.ETag, tags: TagSet, metadata: back.Metadata, sha256: back.sha256,
      deleted: Deleted.map((found) => found.Key), left: await keysBelow('copy/'),
    }
  },

  async presigned_by_default() {
    return presigned(client({ region: 'us-east-1' }), 'presigned-v2')
  },

  async presigned_v4() {
    return presigned(s3v4, 'presigned-v4')
  },

  async presigned_post() {
    const form = s3v4.createPresignedPost({
      Bucket,
      Fields: { key: 'forms/a b.png', success_action_status: '201' },
      Conditions: [['content-length-range', 1, 10_000]],
      Expires: 600,
    })
    const send = async (size) =>
      told(await submit(form.url, form.fields, { filename: 'a b.png', type: 'image/png', data: body(size) }))
    const made = await send(5000)
    const too_large = await send(10_001)
    const { size, sha256 } = await read('forms/a b.png')
    return { url: form.url, made, too_large, size, sha256 }
  },

  async errors() {
    const forger = client({ secretAccessKey: 'x'.repeat(40) })
    const ask = (from, Key = 'none') => failure(() => from.getObject({ Bucket, Key }).promise())
    return {
      no_key: await ask(s3),
      wrong_secret: await ask(forger),
      unknown_access_key: await ask(client({ accessKeyId: 'AKNOBODYKNOWSTHISONE' })),
      head_no_key: await failure(() => s3.headObject({ Bucket, Key: 'none' }).promise()),
    }
  },
})
