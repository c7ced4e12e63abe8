-- Origins in other object storages: what they call what they have, and places that only one body may have at a time.

-- The origin's own ETag of a part, which it wants to hear again when the parts are put together.
ALTER TABLE upload_parts ADD COLUMN origin_etag TEXT;

-- `write_id`: only what this write has left is removed there, never what somebody else has put. `until_s`: a write whose
-- end is not known may still take effect until then, so it is removed again and again, and its place is not given away.
ALTER TABLE garbage ADD COLUMN write_id TEXT NOT NULL DEFAULT '';
ALTER TABLE garbage ADD COLUMN until_s INTEGER NOT NULL DEFAULT 0;

-- No two objects share a body. A directory's locations carry the id of their write and need no looking after.
CREATE UNIQUE INDEX objects_by_location ON objects (origin, location) WHERE origin_etag IS NOT NULL;
CREATE INDEX intents_by_location ON intents (origin, location);
CREATE INDEX uploads_by_location ON uploads (origin, location) WHERE state != 'done';

-- How far a look through an origin has come, so that it goes on where it was cut off. `task` says what was looked for.
CREATE TABLE surveys (
    task     TEXT PRIMARY KEY,
    cursor   TEXT NOT NULL,
    count    INTEGER NOT NULL,
    moved_s  INTEGER NOT NULL
) WITHOUT ROWID;

-- Bodies that lie under the id of their write, since their key's own place was taken when they were written.
CREATE INDEX objects_away ON objects (bucket, key) WHERE origin_etag IS NOT NULL AND substr(location, -35, 3) = '%40';
