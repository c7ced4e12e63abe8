-- Room that writes have taken and not used yet: of every scope, of every write that has begun, of every open upload.

ALTER TABLE usage ADD COLUMN reserved_bytes INTEGER NOT NULL DEFAULT 0 CHECK (reserved_bytes >= 0);
ALTER TABLE usage ADD COLUMN reserved_objects INTEGER NOT NULL DEFAULT 0 CHECK (reserved_objects >= 0);

ALTER TABLE intents ADD COLUMN project TEXT NOT NULL DEFAULT '';
ALTER TABLE intents ADD COLUMN category TEXT NOT NULL DEFAULT '';
ALTER TABLE intents ADD COLUMN reserved_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE intents ADD COLUMN reserved_objects INTEGER NOT NULL DEFAULT 0;

-- Of an upload: the object that it will be. The bytes it has taken are those of its parts.
ALTER TABLE uploads ADD COLUMN reserved_objects INTEGER NOT NULL DEFAULT 0;

-- For counting what a principal has open.
CREATE INDEX uploads_by_initiator ON uploads (initiator, bucket) WHERE state != 'done';

-- For telling no limit more than once a day: `subject` is its scope.
CREATE INDEX audit_quota_near ON audit (project, subject, time_s) WHERE event = 'quota.near';

-- Uploads that were open before there was a ledger hold the room of their parts from now on.
UPDATE uploads SET reserved_objects = 1 WHERE state != 'done';
CREATE TEMPORARY TABLE held AS
    SELECT b.project, b.category, u.uploader, count(DISTINCT u.upload_id) AS objects, coalesce(sum(p.size), 0) AS bytes
    FROM uploads u JOIN buckets b ON b.bucket = u.bucket LEFT JOIN upload_parts p ON p.upload_id = u.upload_id
    WHERE u.state != 'done' GROUP BY b.project, b.category, u.uploader;
INSERT INTO usage (project, category, uploader, bytes, objects, reserved_bytes, reserved_objects)
    SELECT project, category, uploader, 0, 0, bytes, objects FROM held WHERE true
    UNION ALL SELECT project, category, '', 0, 0, sum(bytes), sum(objects) FROM held GROUP BY project, category
    UNION ALL SELECT project, '', '', 0, 0, sum(bytes), sum(objects) FROM held GROUP BY project
    ON CONFLICT (project, category, uploader) DO UPDATE SET
        reserved_bytes = excluded.reserved_bytes, reserved_objects = excluded.reserved_objects;
DROP TABLE held;
