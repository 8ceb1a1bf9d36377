-- What a message says of itself: whether something is to be derived from it. Before, only that nothing is was kept.

-- Messages without a row are taken as their session says, and where it says nothing as their tenant does.
CREATE TABLE reasoning_marks (
    tenant_id BLOB NOT NULL,
    chat_key BLOB NOT NULL,
    message_id BLOB NOT NULL,
    is_on INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, chat_key, message_id),
    FOREIGN KEY (tenant_id, chat_key) REFERENCES chats (tenant_id, key) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
-- scope: system, all that was kept moves.
INSERT INTO reasoning_marks SELECT tenant_id, chat_key, message_id, 0 FROM quiet_messages;
DROP TABLE quiet_messages;
