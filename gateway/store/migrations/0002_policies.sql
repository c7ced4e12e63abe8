-- Every state that the policies ever had, and who did what. Rows of these four tables are written once: they are neither
-- changed nor removed, and not replaced either (REPLACE fires no DELETE triggers, hence the ones before an INSERT).

-- `changes` is JSON: what the revision changed, for people. `folder_digest`: the policy folder when it was applied.
CREATE TABLE revisions (
    revision      INTEGER PRIMARY KEY,
    applied_s     INTEGER NOT NULL,
    author        TEXT NOT NULL,
    comment       TEXT NOT NULL,
    folder_digest TEXT NOT NULL,
    changes       TEXT NOT NULL
);
CREATE TRIGGER revisions_update BEFORE UPDATE ON revisions
BEGIN SELECT RAISE(ABORT, 'revisions are never changed'); END;
CREATE TRIGGER revisions_delete BEFORE DELETE ON revisions
BEGIN SELECT RAISE(ABORT, 'revisions are never removed'); END;
CREATE TRIGGER revisions_replace BEFORE INSERT ON revisions
WHEN EXISTS (SELECT 1 FROM revisions WHERE revision = NEW.revision)
BEGIN SELECT RAISE(ABORT, 'revisions are never replaced'); END;

-- Each text once, however many revisions have it: `digest` is its SHA-256 in hexadecimal.
CREATE TABLE policy_texts (
    digest TEXT PRIMARY KEY,
    text   TEXT NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER policy_texts_update BEFORE UPDATE ON policy_texts
BEGIN SELECT RAISE(ABORT, 'policy texts are never changed'); END;
CREATE TRIGGER policy_texts_delete BEFORE DELETE ON policy_texts
BEGIN SELECT RAISE(ABORT, 'policy texts are never removed'); END;
CREATE TRIGGER policy_texts_replace BEFORE INSERT ON policy_texts
WHEN EXISTS (SELECT 1 FROM policy_texts WHERE digest = NEW.digest)
BEGIN SELECT RAISE(ABORT, 'policy texts are never replaced'); END;

CREATE TABLE revision_files (
    revision INTEGER NOT NULL REFERENCES revisions (revision),
    name     TEXT NOT NULL,
    digest   TEXT NOT NULL REFERENCES policy_texts (digest),
    PRIMARY KEY (revision, name)
) WITHOUT ROWID;
CREATE TRIGGER revision_files_update BEFORE UPDATE ON revision_files
BEGIN SELECT RAISE(ABORT, 'files of a revision are never changed'); END;
CREATE TRIGGER revision_files_delete BEFORE DELETE ON revision_files
BEGIN SELECT RAISE(ABORT, 'files of a revision are never removed'); END;
CREATE TRIGGER revision_files_replace BEFORE INSERT ON revision_files
WHEN EXISTS (SELECT 1 FROM revision_files WHERE revision = NEW.revision AND name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'files of a revision are never replaced'); END;

-- `project` is NULL where the whole installation is meant, `details` is JSON.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    time_s  INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    event   TEXT NOT NULL,
    project TEXT,
    subject TEXT NOT NULL,
    details TEXT NOT NULL
);
CREATE TRIGGER audit_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is never changed'); END;
CREATE TRIGGER audit_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'nothing is removed from the audit'); END;
CREATE TRIGGER audit_replace BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit is never changed'); END;

-- For listings of what one uploader has stored, or is storing.
CREATE INDEX objects_by_uploader ON objects (bucket, uploader, key);
CREATE INDEX uploads_by_uploader ON uploads (bucket, uploader, key, upload_id);
