-- Owners whom nobody has named: a session that is made without anybody belongs to the tenant's agent.

-- Such a participant is not listed or counted as a peer until somebody names it. Of those that are there it is not known
-- who named them: they stay listed.
ALTER TABLE participants ADD COLUMN is_implied boolean NOT NULL DEFAULT false;
