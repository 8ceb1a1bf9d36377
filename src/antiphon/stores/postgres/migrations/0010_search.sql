-- Work that is done to messages after they were stored, and the index of their texts.

-- For each kind of work: the sequence up to which it is done in a chat, and since when, or until when at least, the rest
-- waits (NULL: nothing waits). An append sets the second where it is NULL, so that all later ones change no index.
ALTER TABLE chats
    ADD COLUMN text_seq integer NOT NULL DEFAULT 0,
    ADD COLUMN text_due timestamptz,
    ADD COLUMN vectors_seq integer NOT NULL DEFAULT 0,
    ADD COLUMN vectors_due timestamptz;
-- scope: system, what was said before is found too.
UPDATE chats SET text_due = updated_at, vectors_due = updated_at WHERE last_seq > 0;
CREATE INDEX chats_by_text_due ON chats (tenant_id, text_due) WHERE text_due IS NOT NULL AND id IS NOT NULL;
CREATE INDEX chats_by_vectors_due ON chats (tenant_id, vectors_due) WHERE vectors_due IS NOT NULL AND id IS NOT NULL;

-- `grams`: a hash of each run of three characters of the message's text in lowercase, another one in each tenant, so
-- that a search reads postings of its own tenant alone. There is no foreign key, as with messages.
CREATE TABLE texts (
    tenant_id uuid NOT NULL,
    chat_key uuid NOT NULL,
    seq integer NOT NULL,
    grams integer[] NOT NULL,
    PRIMARY KEY (tenant_id, chat_key, seq)
);
-- scope: system, the tenant is in each hash: an array has no column beside it here. The list of entries that
-- are not sorted in yet, through which each search goes, is kept short (512 kB); without one each entry costs ten times.
CREATE INDEX texts_by_gram ON texts USING gin (grams) WITH (gin_pending_list_limit = 512);
