-- What a message says of itself: whether something is to be derived from it. Before, only that nothing is was kept.

-- Messages without a row are taken as their session says, and where it says nothing as their tenant does. The table is
-- changed, not made anew: where it is distributed it stays so.
ALTER TABLE quiet_messages ADD COLUMN is_on boolean NOT NULL DEFAULT false;
ALTER TABLE quiet_messages ALTER COLUMN is_on DROP DEFAULT;
ALTER TABLE quiet_messages RENAME TO reasoning_marks;
