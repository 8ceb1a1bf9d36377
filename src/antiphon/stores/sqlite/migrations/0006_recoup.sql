-- What the work in a session has changed, as its clients tell it.

ALTER TABLE sessions ADD COLUMN lines_added INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN lines_removed INTEGER NOT NULL DEFAULT 0;
