-- When a write or an upload was begun whose end, or whose name at the origin, nobody here heard: of the origin's uploads
-- to the same key only those that were begun since then can be its own. 0: none of its own can be there.
ALTER TABLE garbage ADD COLUMN begun_s INTEGER NOT NULL DEFAULT 0;
UPDATE garbage SET begun_s = max(until_s - 3600, 1) WHERE until_s > 0;
