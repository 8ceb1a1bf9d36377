-- What the work in a session has changed, as its clients tell it.

ALTER TABLE sessions ADD COLUMN lines_added bigint NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN lines_removed bigint NOT NULL DEFAULT 0;
