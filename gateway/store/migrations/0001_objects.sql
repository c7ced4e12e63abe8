-- Times are epoch seconds (UTC), sizes are bytes, texts in JSON columns are objects of texts.

CREATE TABLE buckets (
    bucket        TEXT PRIMARY KEY,
    project       TEXT NOT NULL,
    category      TEXT NOT NULL,
    origin        TEXT NOT NULL,
    origin_bucket TEXT NOT NULL,
    origin_prefix TEXT NOT NULL,
    source        TEXT NOT NULL CHECK (source IN ('policy', 'client')),
    created_s     INTEGER NOT NULL,
    UNIQUE (project, category)
);

CREATE TABLE objects (
    bucket             TEXT NOT NULL REFERENCES buckets (bucket),
    key                TEXT NOT NULL,
    version_id         TEXT NOT NULL,
    uploader           TEXT NOT NULL,
    size               INTEGER NOT NULL CHECK (size >= 0),
    etag               TEXT NOT NULL,
    modified_s         INTEGER NOT NULL,
    origin             TEXT NOT NULL,
    location           TEXT NOT NULL,
    origin_etag        TEXT,
    checksum_algorithm TEXT,
    checksum_type      TEXT,
    checksum_value     TEXT,
    part_count         INTEGER NOT NULL,
    headers            TEXT NOT NULL,
    metadata           TEXT NOT NULL,
    tags               TEXT NOT NULL,
    PRIMARY KEY (bucket, key, version_id)
) WITHOUT ROWID;

CREATE TABLE object_parts (
    bucket         TEXT NOT NULL,
    key            TEXT NOT NULL,
    version_id     TEXT NOT NULL,
    part_number    INTEGER NOT NULL,
    size           INTEGER NOT NULL,
    checksum_value TEXT,
    PRIMARY KEY (bucket, key, version_id, part_number),
    FOREIGN KEY (bucket, key, version_id) REFERENCES objects (bucket, key, version_id) ON DELETE CASCADE
) WITHOUT ROWID;

-- A write that has begun: what it may leave at the origin, and the bytes it may come to.
CREATE TABLE intents (
    intent_id  TEXT PRIMARY KEY,
    kind       TEXT NOT NULL CHECK (kind IN ('put', 'copy', 'part')),
    bucket     TEXT NOT NULL,
    key        TEXT NOT NULL,
    uploader   TEXT NOT NULL,
    size       INTEGER NOT NULL,
    origin     TEXT NOT NULL,
    location   TEXT NOT NULL,
    upload_id  TEXT,
    created_s  INTEGER NOT NULL
) WITHOUT ROWID;

-- Bodies that nothing refers to any more. `bytes` and `objects` stay charged until the body is gone.
CREATE TABLE garbage (
    location TEXT NOT NULL,
    origin   TEXT NOT NULL,
    project  TEXT NOT NULL,
    category TEXT NOT NULL,
    uploader TEXT NOT NULL,
    bytes    INTEGER NOT NULL,
    objects  INTEGER NOT NULL,
    PRIMARY KEY (origin, location)
) WITHOUT ROWID;

CREATE TABLE uploads (
    upload_id          TEXT PRIMARY KEY,
    bucket             TEXT NOT NULL REFERENCES buckets (bucket),
    key                TEXT NOT NULL,
    uploader           TEXT NOT NULL,
    initiator          TEXT NOT NULL,
    state              TEXT NOT NULL CHECK (state IN ('open', 'completing', 'done')),
    created_s          INTEGER NOT NULL,
    touched_s          INTEGER NOT NULL,
    origin             TEXT NOT NULL,
    location           TEXT NOT NULL,
    checksum_algorithm TEXT,
    checksum_type      TEXT,
    headers            TEXT NOT NULL,
    metadata           TEXT NOT NULL,
    tags               TEXT NOT NULL,
    result             TEXT
);
CREATE INDEX uploads_by_key ON uploads (bucket, key, upload_id);

CREATE TABLE upload_parts (
    upload_id          TEXT NOT NULL REFERENCES uploads (upload_id) ON DELETE CASCADE,
    part_number        INTEGER NOT NULL,
    size               INTEGER NOT NULL,
    etag               TEXT NOT NULL,
    modified_s         INTEGER NOT NULL,
    location           TEXT NOT NULL,
    checksum_algorithm TEXT,
    checksum_value     TEXT,
    PRIMARY KEY (upload_id, part_number)
) WITHOUT ROWID;

-- One row a scope: ('p', '', '') the project, ('p', 'c', '') a category, ('p', 'c', 'u') an uploader in a category.
CREATE TABLE usage (
    project  TEXT NOT NULL,
    category TEXT NOT NULL,
    uploader TEXT NOT NULL,
    bytes    INTEGER NOT NULL CHECK (bytes >= 0),
    objects  INTEGER NOT NULL CHECK (objects >= 0),
    PRIMARY KEY (project, category, uploader)
) WITHOUT ROWID;

-- Which place an origin's name stood for when something was first kept there.
CREATE TABLE origins (
    origin   TEXT PRIMARY KEY,
    identity TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE access_keys (
    access_key_id TEXT PRIMARY KEY,
    project       TEXT NOT NULL,
    principal     TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('active', 'disabled')),
    generation    INTEGER NOT NULL,
    created_s     INTEGER NOT NULL,
    last_used_s   INTEGER,
    key_id        TEXT NOT NULL,
    nonce         BLOB NOT NULL,
    ciphertext    BLOB NOT NULL
);
CREATE INDEX access_keys_by_principal ON access_keys (project, principal);
