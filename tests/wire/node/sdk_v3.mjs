// aws-sdk-js v3: client-s3, lib-storage, s3-request-presigner, s3-presigned-post.

import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  DeleteObjectTaggingCommand,
  GetBucketLocationCommand,
  GetBucketVersioningCommand,
  GetObjectAclCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  ListObjectsCommand,
  ListObjectVersionsCommand,
  ListPartsCommand,
  paginateListObjectsV2,
  PutObjectCommand,
  PutObjectTaggingCommand,
  S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'

import {
  agent, body, bucket, credentials, digest, endpoint, failure, main, MIB, PART_SIZE, pathStyle, request, streamed,
  submit, told, withFile,
} from './harness.mjs'

const Bucket = bucket
const ODD_KEYS = [
  'odd/plain.txt', 'odd/space in it.txt', 'odd/plus+and&amp=.txt', 'odd/percent%20%2F.txt', 'odd/کلید ترانه.mp3',
  'odd/a', 'odd/a/b', 'odd//double', 'odd/trailing/', "odd/(quotes)'!*~.txt", 'odd/😀.png', 'odd/#?;:@,$',
  'odd/..a/b..c', 'odd/ blanks at both ends ', "odd/'\"<&>]]>",
  `odd/${'ک'.repeat(510)}`,
]

function client(options = {}) {
  return new S3Client({
    endpoint: endpoint.href,
    region: 'us-east-1',
    forcePathStyle: pathStyle,
    credentials,
    maxAttempts: 1,
    requestHandler: { httpAgent: agent, httpsAgent: agent },
    ...options,
  })
}

const s3 = client()
const put = (Key, Body, more = {}) => s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }))
const head = (Key, more = {}) => s3.send(new HeadObjectCommand({ Bucket, Key, ...more }))
const get = (Key, more = {}) => s3.send(new GetObjectCommand({ Bucket, Key, ...more }))

/** Read an object to the end; the SDK checks its checksum on the way. */
async function read(Key, more = {}) {
  const { Body, $metadata, ...facts } = await get(Key, more)
  return { status: $metadata.httpStatusCode, ...facts, ...(await digest(Body)) }
}

async function keysBelow(Prefix) {
  const keys = []
  for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket, Prefix }))
    keys.push(...(page.Contents ?? []).map((object) => object.Key))
  return keys
}

await main({
  async create_bucket() {
    const made = await s3.send(new CreateBucketCommand({ Bucket }))
    const seen = await s3.send(new HeadBucketCommand({ Bucket }))
    const { Buckets } = await s3.send(new ListBucketsCommand({}))
    const { Status } = await s3.send(new GetBucketVersioningCommand({ Bucket }))
    const { LocationConstraint } = await s3.send(new GetBucketLocationCommand({ Bucket }))
    return {
      location: made.Location,
      head: seen.$metadata.httpStatusCode,
      listed: Buckets.map((found) => found.Name),
      versioning: Status,
      region: LocationConstraint,
      again: await failure(() => s3.send(new CreateBucketCommand({ Bucket }))),
    }
  },

  async put_a_buffer() {
    const answer = await put('buffer.png', body(70_000), {
      ContentType: 'image/png',
      CacheControl: 'max-age=60',
      ContentDisposition: 'inline; filename="a b.png"',
      ContentLanguage: 'fa',
      Expires: new Date(Date.UTC(2040, 0, 2)),
      Metadata: { colour: 'green', Mixed: 'Case' },
    })
    const { $metadata, ...seen } = await head('buffer.png', { ChecksumMode: 'ENABLED' })
    return { put: answer, head: seen, got: await read('buffer.png') }
  },

  async put_an_empty_object() {
    return { put: await put('empty', ''), got: await read('empty') }
  },

  async put_a_text() {
    return { put: await put('text', 'انبار, a storehouse'), text: await (await get('text')).Body.transformToString() }
  },

  async put_a_file_stream() {
    return withFile(3 * MIB + 17, async (path) => {
      await put('file-stream', createReadStream(path))
      return read('file-stream')
    })
  },

  async put_a_stream_of_known_length() {
    await put('stream', streamed(300_000), { ContentLength: 300_000, ContentEncoding: 'identity' })
    return read('stream')
  },

  async put_a_stream_of_unknown_length() {
    const plain = client({ requestChecksumCalculation: 'WHEN_REQUIRED' })
    const command = new PutObjectCommand({ Bucket, Key: 'unsized', Body: streamed(300_000) })
    const answer = await failure(() => plain.send(command))
    return { answer, keys: await keysBelow('unsized') }
  },

  async put_what_is_compressed() {
    const data = gzipSync(body(100_000))
    const headers = { ContentEncoding: 'gzip', ContentType: 'text/plain' }
    await put('compressed', data, headers)
    await put('compressed-stream', Readable.from([data]), { ...headers, ContentLength: data.length })
    return { sent: await digest(data), buffer: await read('compressed'), stream: await read('compressed-stream') }
  },

  async put_when_required() {
    const plain = client({ requestChecksumCalculation: 'WHEN_REQUIRED', responseChecksumValidation: 'WHEN_REQUIRED' })
    await plain.send(new PutObjectCommand({ Bucket, Key: 'plain', Body: body(50_000) }))
    await plain.send(
      new PutObjectCommand({ Bucket, Key: 'plain-stream', Body: streamed(200_000), ContentLength: 200_000 }),
    )
    return { buffer: await read('plain'), stream: await read('plain-stream') }
  },

  async put_with_each_checksum() {
    const facts = {}
    for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256']) {
      const field = `Checksum${algorithm}`
      const buffer = await put(`sum/${algorithm}`, body(40_000), { ChecksumAlgorithm: algorithm })
      await put(`sum/${algorithm}-stream`, streamed(40_000), { ChecksumAlgorithm: algorithm, ContentLength: 40_000 })
      const seen = await head(`sum/${algorithm}-stream`, { ChecksumMode: 'ENABLED' })
      facts[algorithm] = {
        put: buffer[field],
        head: seen[field],
        type: seen.ChecksumType,
        ...(await read(`sum/${algorithm}-stream`)),
      }
    }
    return facts
  },

  async put_with_a_wrong_checksum() {
    const answer = await failure(() => put('wrong', body(1000), { ChecksumCRC32: 'AAAAAA==' }))
    return { answer, head: await failure(() => head('wrong')) }
  },

  async get_ranges() {
    await put('ranged', body(1000))
    const ranged = async (Range) => read('ranged', { Range })
    return {
      middle: await ranged('bytes=5-9'),
      rest: await ranged('bytes=990-'),
      last: await ranged('bytes=-3'),
      beyond: await ranged('bytes=900-5000'),
      past: await failure(() => ranged('bytes=1000-')),
    }
  },

  async conditions() {
    const { ETag } = await put('conditional', body(10))
    return {
      etag: ETag,
      created: (await put('conditional-new', body(10), { IfNoneMatch: '*' })).$metadata.httpStatusCode,
      create_again: await failure(() => put('conditional', body(11), { IfNoneMatch: '*' })),
      update_of_another: await failure(() => put('conditional', body(11), { IfMatch: '"0123"' })),
      get_same: await failure(() => get('conditional', { IfNoneMatch: ETag })),
      get_other: await failure(() => get('conditional', { IfMatch: '"0123"' })),
      updated: (await put('conditional', body(12), { IfMatch: ETag })).$metadata.httpStatusCode,
      size: (await head('conditional')).ContentLength,
    }
  },

  async odd_keys() {
    for (const Key of ODD_KEYS) await put(Key, Key)
    const texts = {}
    for (const Key of ODD_KEYS) texts[Key] = await (await get(Key)).Body.transformToString()
    const { CommonPrefixes, Contents } = await s3.send(
      new ListObjectsCommand({ Bucket, Prefix: 'odd/', Delimiter: '/' }),
    )
    return {
      written: ODD_KEYS,
      texts,
      listed: await keysBelow('odd/'),
      prefixes: CommonPrefixes.map((found) => found.Prefix),
      contents: Contents.map((found) => found.Key),
    }
  },

  async refused_keys() {
    const facts = {}
    for (const Key of ['odd/new\nline', 'odd/nothing\0', 'odd/up/../up', 'odd/./here', 'k'.repeat(1025)])
      facts[Key] = await failure(() => put(Key, 'x'))
    return facts
  },

  async list_in_pages() {
    const written = Array.from({ length: 7 }, (_, n) => `page/${n}`)
    await Promise.all(written.map((Key) => put(Key, 'x')))
    const pages = []
    for await (const page of paginateListObjectsV2({ client: s3, pageSize: 3 }, { Bucket, Prefix: 'page/' }))
      pages.push({ count: page.KeyCount, truncated: page.IsTruncated, keys: page.Contents.map((found) => found.Key) })
    const first = await s3.send(new ListObjectsCommand({ Bucket, Prefix: 'page/', MaxKeys: 3 }))
    const next = await s3.send(new ListObjectsCommand({ Bucket, Prefix: 'page/', MaxKeys: 3, Marker: 'page/2' }))
    const { Versions } = await s3.send(new ListObjectVersionsCommand({ Bucket, Prefix: 'page/' }))
    return {
      pages,
      v1: { truncated: first.IsTruncated, keys: next.Contents.map((found) => found.Key) },
      versions: Versions.map((found) => [found.Key, found.VersionId, found.IsLatest]),
    }
  },

  async copy() {
    const source = await put('copy/source +é.png', body(5000), { ContentType: 'image/png', Metadata: { a: '1' } })
    const CopySource = `${Bucket}/${encodeURIComponent('copy/source +é.png')}`
    const copied = await s3.send(new CopyObjectCommand({ Bucket, Key: 'copy/same', CopySource }))
    await s3.send(
      new CopyObjectCommand({
        Bucket, Key: 'copy/other', CopySource: `/${CopySource}`, MetadataDirective: 'REPLACE',
        ContentType: 'image/webp', Metadata: { b: '2' },
      }),
    )
    const refused = await failure(() =>
      s3.send(new CopyObjectCommand({ Bucket, Key: 'copy/not', CopySource, CopySourceIfNoneMatch: source.ETag })),
    )
    const same = await read('copy/same')
    const other = await read('copy/other')
    return {
      source: source.ETag,
      result: copied.CopyObjectResult,
      refused,
      same: { type: same.ContentType, metadata: same.Metadata, sha256: same.sha256 },
      other: { type: other.ContentType, metadata: other.Metadata, sha256: other.sha256 },
      onto_itself: await failure(() =>
        s3.send(new CopyObjectCommand({ Bucket, Key: 'copy/same', CopySource: `${Bucket}/copy/same` })),
      ),
    }
  },

  async delete_objects() {
    const keys = ['gone/1', 'gone/<&>', 'gone/کلید']
    for (const Key of keys) await put(Key, 'x')
    const Objects = [...keys, 'gone/never'].map((Key) => ({ Key }))
    const { Deleted, Errors } = await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }))
    await put('gone/quietly', 'x')
    const quiet = await s3.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'gone/quietly' }], Quiet: true } }),
    )
    await put('gone/one', 'x')
    const one = await s3.send(new DeleteObjectCommand({ Bucket, Key: 'gone/one' }))
    return {
      deleted: Deleted.map((found) => found.Key),
      errors: Errors ?? [],
      quiet: quiet.Deleted ?? [],
      one: one.$metadata.httpStatusCode,
      left: await keysBelow('gone/'),
    }
  },

  async tagging() {
    await put('tagged', 'x', { Tagging: 'kind=image&owner=sara%20%2B%20co%40x' })
    const tags = async () => (await s3.send(new GetObjectTaggingCommand({ Bucket, Key: 'tagged' }))).TagSet
    const first = await tags()
    await s3.send(
      new PutObjectTaggingCommand({ Bucket, Key: 'tagged', Tagging: { TagSet: [{ Key: 'state', Value: 'a/b = ب' }] } }),
    )
    const second = await tags()
    const { TagCount } = await get('tagged')
    await s3.send(new DeleteObjectTaggingCommand({ Bucket, Key: 'tagged' }))
    return { first, second, count: TagCount, third: await tags() }
  },

  async acl() {
    await put('acl', 'x', { ACL: 'private', StorageClass: 'STANDARD' })
    const { Owner, Grants } = await s3.send(new GetObjectAclCommand({ Bucket, Key: 'acl' }))
    return { owner: Owner, grants: Grants }
  },

  async upload_a_stream_in_parts() {
    const progress = []
    const upload = new Upload({
      client: s3,
      params: { Bucket, Key: 'parts/stream é.bin', Body: streamed(12 * MIB + 5), ContentType: 'video/mp4' },
      partSize: PART_SIZE,
      queueSize: 3,
    })
    upload.on('httpUploadProgress', ({ loaded }) => progress.push(loaded))
    const { Location, ETag, Key } = await upload.done()
    const seen = await head('parts/stream é.bin', { PartNumber: 1 })
    const back = await read('parts/stream é.bin')
    return {
      location: Location, etag: ETag, key: Key, loaded: Math.max(...progress),
      type: back.ContentType, size: back.size, sha256: back.sha256,
      first_part: { size: seen.ContentLength, count: seen.PartsCount, range: seen.ContentRange },
    }
  },

  async get_that_is_called_off() {
    const Key = 'parts/stream é.bin'
    for (let time = 0; time < 5; time += 1) {
      const { Body } = await get(Key)
      for await (const _chunk of Body) break // leaving the loop destroys the stream and its connection
    }
    return read(Key)
  },

  async upload_a_small_stream() {
    const done = await new Upload({ client: s3, params: { Bucket, Key: 'parts/small', Body: streamed(1000) } }).done()
    return { location: done.Location, etag: done.ETag, ...(await read('parts/small')) }
  },

  async upload_in_parts_by_hand() {
    const Key = 'parts/by hand'
    const { UploadId } = await s3.send(
      new CreateMultipartUploadCommand({ Bucket, Key, ChecksumAlgorithm: 'SHA256', Metadata: { by: 'hand' } }),
    )
    const { Uploads } = await s3.send(new ListMultipartUploadsCommand({ Bucket, Prefix: 'parts/' }))
    const whole = body(PART_SIZE + 1000)
    const sent = []
    for (const [index, part] of [whole.subarray(0, PART_SIZE), whole.subarray(PART_SIZE)].entries())
      sent.push(
        await s3.send(
          new UploadPartCommand({
            Bucket, Key, UploadId, PartNumber: index + 1, Body: part, ChecksumAlgorithm: 'SHA256',
          }),
        ),
      )
    const listed = await s3.send(new ListPartsCommand({ Bucket, Key, UploadId }))
    const Parts = sent.map(({ ETag, ChecksumSHA256 }, index) => ({ ETag, ChecksumSHA256, PartNumber: index + 1 }))
    const complete = new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } })
    const done = await s3.send(complete)
    const attributes = await s3.send(
      new GetObjectAttributesCommand({
        Bucket, Key, ObjectAttributes: ['ETag', 'ObjectSize', 'ObjectParts', 'Checksum', 'StorageClass'],
      }),
    )
    const back = await read(Key)
    return {
      uploads: Uploads.map((found) => [found.Key, found.UploadId === UploadId]),
      parts: listed.Parts.map((part) => [part.PartNumber, part.Size, part.ETag]),
      etags: sent.map((part) => part.ETag),
      checksums: sent.map((part) => part.ChecksumSHA256),
      done: { etag: done.ETag, checksum: done.ChecksumSHA256, location: done.Location },
      attributes: {
        etag: attributes.ETag, size: attributes.ObjectSize, checksum: attributes.Checksum?.ChecksumSHA256,
        parts: attributes.ObjectParts?.TotalPartsCount,
      },
      metadata: back.Metadata, size: back.size, sha256: back.sha256,
    }
  },

  async upload_part_copy() {
    await put('parts/source', body(PART_SIZE + 2000))
    const Key = 'parts/copied'
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }))
    const ranges = [`bytes=0-${PART_SIZE - 1}`, `bytes=${PART_SIZE}-${PART_SIZE + 1999}`]
    const Parts = []
    for (const [index, CopySourceRange] of ranges.entries()) {
      const { CopyPartResult } = await s3.send(
        new UploadPartCopyCommand({
          Bucket, Key, UploadId, PartNumber: index + 1, CopySource: `${Bucket}/parts/source`, CopySourceRange,
        }),
      )
      Parts.push({ ETag: CopyPartResult.ETag, PartNumber: index + 1 })
    }
    await s3.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }))
    return read(Key)
  },

  async abort_an_upload() {
    const Key = 'parts/aborted'
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }))
    await s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: body(100) }))
    const aborted = await s3.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
    return {
      aborted: aborted.$metadata.httpStatusCode,
      parts: await failure(() => s3.send(new ListPartsCommand({ Bucket, Key, UploadId }))),
      head: await failure(() => head(Key)),
    }
  },

  async upload_with_whole_object_checksum() {
    const Key = 'parts/crc64nvme'
    const params = { Bucket, Key, Body: streamed(6 * MIB), ChecksumAlgorithm: 'CRC64NVME' }
    const done = await new Upload({ client: s3, params, partSize: PART_SIZE }).done()
    const seen = await head(Key, { ChecksumMode: 'ENABLED' })
    return {
      done: [done.ChecksumCRC64NVME, done.ChecksumType], head: [seen.ChecksumCRC64NVME, seen.ChecksumType],
      ...(await read(Key)),
    }
  },

  async upload_onto_an_existing_key() {
    const Key = 'parts/existing'
    await put(Key, body(10))
    const params = { Bucket, Key, Body: streamed(6 * MIB), IfNoneMatch: '*' }
    const answer = await failure(() => new Upload({ client: s3, params, partSize: PART_SIZE }).done())
    const { Uploads } = await s3.send(new ListMultipartUploadsCommand({ Bucket, Prefix: Key }))
    return { answer, size: (await head(Key)).ContentLength, uploads: Uploads ?? [] }
  },

  async upload_that_is_called_off() {
    const Key = 'parts/called-off'
    const upload = new Upload({ client: s3, params: { Bucket, Key, Body: streamed(12 * MIB) }, partSize: PART_SIZE })
    // done() rejects at once; the SDK sends AbortMultipartUpload after that.
    const aborted = new Promise((resolve, reject) => {
      const abort = upload.markUploadAsAborted.bind(upload)
      upload.markUploadAsAborted = () => abort().then(resolve, reject)
    })
    upload.once('httpUploadProgress', () => upload.abort())
    const answer = await failure(() => upload.done())
    await aborted
    const { Uploads } = await s3.send(new ListMultipartUploadsCommand({ Bucket, Prefix: Key }))
    return { answer: answer.name, head: await failure(() => head(Key)), uploads: Uploads ?? [] }
  },

  async put_that_breaks_off() {
    const Key = 'broken-off'
    await put(Key, body(10))
    const breakOff = (key) =>
      failure(() => {
        const stop = new AbortController()
        async function* pieces() {
          yield body(100_000)
          yield body(100_000)
          stop.abort()
        }
        const Body = Readable.from(pieces(), { objectMode: false })
        const command = new PutObjectCommand({ Bucket, Key: key, Body, ContentLength: 300_000 })
        return s3.send(command, { abortSignal: stop.signal })
      })
    const over = await breakOff(Key)
    const anew = await breakOff(`${Key}-new`)
    return { over: over.name, anew: anew.name, left: await keysBelow(Key), ...(await read(Key)) }
  },

  async puts_of_one_key_at_once() {
    const sizes = Array.from({ length: 12 }, (_, n) => 20_000 + n)
    await Promise.all(sizes.map((size) => put('contended', body(size))))
    return { sizes, ...(await read('contended')) }
  },

  async presigned_get() {
    const Key = 'presigned/é +.png'
    await put(Key, body(3000), { ContentType: 'image/png' })
    const url = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key }), { expiresIn: 600 })
    const named = await getSignedUrl(
      s3,
      new GetObjectCommand({
        Bucket, Key, ResponseContentType: 'text/plain',
        ResponseContentDisposition: `attachment; filename="a b.png"; filename*=UTF-8''${encodeURIComponent('تصویر')}.png`,
      }),
    )
    const seen = await getSignedUrl(s3, new HeadObjectCommand({ Bucket, Key }))
    return {
      whole: await told(await request(url)),
      ranged: await told(await request(url, { headers: { range: 'bytes=0-9' } })),
      named: await told(await request(named)),
      head: await told(await request(seen, { method: 'HEAD' })),
      other_method: (await request(url, { method: 'DELETE' })).status,
      changed: (await request(url.replace(/Signature=../, 'Signature=00'))).status,
    }
  },

  async presigned_put() {
    const Key = 'presigned/put.png'
    const command = new PutObjectCommand({
      Bucket, Key, ContentType: 'image/png', ACL: 'private', Metadata: { by: 'browser' },
    })
    const url = await getSignedUrl(s3, command, { expiresIn: 600 })
    const answer = await request(url, { method: 'PUT', headers: { 'content-type': 'image/png' }, data: body(4000) })
    const bound = await getSignedUrl(
      s3, new PutObjectCommand({ Bucket, Key: 'presigned/bound', ContentType: 'image/png', ContentLength: 10 }),
      { signableHeaders: new Set(['content-type']) },
    )
    const other = await request(bound, { method: 'PUT', headers: { 'content-type': 'text/html' }, data: body(10) })
    const back = await read(Key)
    return {
      query: Object.fromEntries(new URL(url).searchParams),
      put: await told(answer),
      bound: new URL(bound).searchParams.get('X-Amz-SignedHeaders'),
      other: await told(other),
      size: back.size, sha256: back.sha256, type: back.ContentType, metadata: back.Metadata,
    }
  },

  async presigned_parts() {
    const Key = 'presigned/in parts.bin'
    const whole = body(PART_SIZE + 1000)
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key, ContentType: 'video/mp4' }))
    const Parts = []
    for (const [index, data] of [whole.subarray(0, PART_SIZE), whole.subarray(PART_SIZE)].entries()) {
      const PartNumber = index + 1
      const url = await getSignedUrl(s3, new UploadPartCommand({ Bucket, Key, UploadId, PartNumber }))
      const { headers } = await request(url, { method: 'PUT', data })
      Parts.push({ ETag: headers.etag, PartNumber })
    }
    await s3.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }))
    return read(Key)
  },

  async presigned_post_with_redirect() {
    const { url, fields } = await createPresignedPost(s3, {
      Bucket, Key: 'redirected/a b.png', Fields: { success_action_redirect: 'https://app.example/done?from=form' },
    })
    const file = { filename: 'x', type: 'image/png', data: body(100) }
    return { answer: await told(await submit(url, fields, file)), ...(await read('redirected/a b.png')) }
  },

  async presigned_post() {
    const post = () =>
      createPresignedPost(s3, {
        Bucket,
        Key: 'forms/${filename}',
        Conditions: [['content-length-range', 1, 10_000], ['starts-with', '$Content-Type', 'image/']],
        Fields: { success_action_status: '201', acl: 'private', 'x-amz-meta-by': 'form' },
        Expires: 600,
      })
    const { url, fields } = await post()
    const send = async (size, type, change = {}) =>
      told(
        await submit(
          url, { ...fields, 'Content-Type': type, ...change },
          { filename: 'عکس 1.png', type: 'image/png', data: body(size) },
        ),
      )
    const made = await send(5000, 'image/png')
    const back = await read('forms/عکس 1.png')
    return {
      url,
      made,
      size: back.size, sha256: back.sha256, type: back.ContentType, metadata: back.Metadata,
      too_large: await send(10_001, 'image/png'),
      other_type: await send(10, 'text/html'),
      other_key: await send(10, 'image/png', { key: 'elsewhere' }),
      forged: await send(10, 'image/png', { 'X-Amz-Signature': '0'.repeat(64) }),
      keys: await keysBelow('forms/'),
    }
  },

  async errors() {
    const stranger = client({ credentials: { accessKeyId: 'AKNOBODYKNOWSTHISONE', secretAccessKey: 'x' } })
    const forger = client({ credentials: { ...credentials, secretAccessKey: 'x'.repeat(40) } })
    const ask = (from, Key = 'none') => failure(() => from.send(new GetObjectCommand({ Bucket, Key })))
    return {
      no_key: await ask(s3),
      no_bucket: await failure(() => s3.send(new GetObjectCommand({ Bucket: `${Bucket}-not`, Key: 'x' }))),
      head_no_key: await failure(() => head('none')),
      unknown_access_key: await ask(stranger),
      wrong_secret: await ask(forger),
      other_region: await ask(client({ region: 'ir-thr-1' })),
      not_empty: await failure(() => s3.send(new DeleteBucketCommand({ Bucket }))),
    }
  },
})
