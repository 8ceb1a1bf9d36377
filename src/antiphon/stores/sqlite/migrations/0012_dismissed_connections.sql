-- Sockets that an operator closes: when, so that the process which holds one finds out why its lease is over.
ALTER TABLE connections ADD COLUMN dismissed_at INTEGER;
