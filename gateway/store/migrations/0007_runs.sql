-- Which process is at it: what one has begun that lives no more is ended by the others. 0: one that is long gone.
ALTER TABLE intents ADD COLUMN run INTEGER NOT NULL DEFAULT 0;
ALTER TABLE uploads ADD COLUMN run INTEGER NOT NULL DEFAULT 0;  -- of the Complete that is under way
