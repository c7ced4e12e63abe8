-- Which body lies at a place that others can write to as well: whatever else lies there is never removed with it.

-- `write_id`: of the write that made the body, as the origin keeps it too; empty: not known, or others have made it.
ALTER TABLE objects ADD COLUMN write_id TEXT NOT NULL DEFAULT '';

-- The origin's own ETag of the body that is to be removed; NULL: not known.
ALTER TABLE garbage ADD COLUMN origin_etag TEXT;
