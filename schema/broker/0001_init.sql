-- Sealpost broker database (sealpostd), schema 1.  Never edit a released migration; add 0002.
--
-- What the broker may know: who, when, how many, how big.  Never what.  No column of this file
-- holds a content key or plaintext.  Read it with:  sqlite3 -readonly broker.db
--
-- Conventions
--   *_ms     Unix time in milliseconds, UTC          bytes    octets           *_id  number inside this file
--   id       the 16- or 32-byte name used on the wire            digest   32 bytes, SHA-256
--   sum      SipHash-2-4 of the row's other columns, see docs/storage.md
--   NULL     "does not apply", never "unknown"
--   Numbers of states, kinds and reasons are never reused.  Tables may change with the schema number;
--   views (v_*) are the stable interface and carry their own number in meta.views.
--
-- page_size, auto_vacuum and encoding are set when the file is created, before this file runs.

PRAGMA application_id = 0x53504231;             -- "SPB1"
PRAGMA user_version = 1;                        -- the highest migration applied

CREATE TABLE meta (                             -- facts about this file
    key             TEXT    PRIMARY KEY,
    value           ANY     NOT NULL,
    comment         TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

---------------------------------------------------------------------------------------------------
-- Directory: who exists
---------------------------------------------------------------------------------------------------

CREATE TABLE agent (                            -- one row per enrolled identity, for ever
    agent_id        INTEGER PRIMARY KEY,
    id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 32),    -- hash of the identity key
    name            TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    identity_key    BLOB    NOT NULL CHECK (length(identity_key) = 32), -- Ed25519 public
    circles         TEXT    NOT NULL DEFAULT '',                        -- labels of its ENROL entry, ascending, one space between
    state           INTEGER NOT NULL CHECK (state IN (1, 2)),           -- 1 active, 2 revoked
    card_gen        INTEGER NOT NULL,                                   -- newest generation in card
    enrolled_ms     INTEGER NOT NULL,
    seen_ms         INTEGER NOT NULL,               -- connect, disconnect, and every 5 minutes between
    revoked_ms      INTEGER,
    quota_frames    INTEGER,                        -- of its mailbox; NULL: quota/queue_frames
    quota_bytes     INTEGER                         -- of its mailbox; NULL: quota/queue_bytes
) STRICT;
CREATE UNIQUE INDEX agent_name ON agent (name) WHERE state = 1;         -- a name has one living owner

CREATE TABLE card (                             -- what agents say about themselves; old ones are kept 38 days
    agent_id        INTEGER NOT NULL REFERENCES agent,
    gen             INTEGER NOT NULL,
    hash            BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    transport_key   BLOB    NOT NULL CHECK (length(transport_key) = 32),    -- X25519 for CURVE: the ZAP list
    card            BLOB    NOT NULL,                                       -- exact bytes received
    sig             BLOB    NOT NULL CHECK (length(sig) = 64),
    stored_ms       INTEGER NOT NULL,
    PRIMARY KEY (agent_id, gen)
) STRICT;
CREATE INDEX card_transport ON card (transport_key);

CREATE TABLE certificate (                      -- the controller's newest statement per agent
    agent_id        INTEGER PRIMARY KEY REFERENCES agent,
    serial          INTEGER NOT NULL UNIQUE,
    card_hash       BLOB    NOT NULL CHECK (length(card_hash) = 32),
    certificate     BLOB    NOT NULL,
    sig             BLOB    NOT NULL CHECK (length(sig) = 64),
    from_ms         INTEGER NOT NULL,
    until_ms        INTEGER NOT NULL
) STRICT;

CREATE TABLE log (                              -- hash-chained list of bindings, append only, never trimmed
    idx             INTEGER PRIMARY KEY,                                -- 0, 1, 2 ... without a gap
    type            INTEGER NOT NULL CHECK (type BETWEEN 1 AND 3),      -- 1 enrol, 2 card, 3 revoke
    agent_id        INTEGER NOT NULL REFERENCES agent,
    name            TEXT    NOT NULL,
    at_ms           INTEGER NOT NULL,
    entry           BLOB    NOT NULL,                                   -- exact bytes that the digest covers
    digest          BLOB    NOT NULL CHECK (length(digest) = 32)
) STRICT;

CREATE TABLE invite (                           -- a door for one stranger
    invite_id       INTEGER PRIMARY KEY,
    key             BLOB    NOT NULL UNIQUE CHECK (length(key) = 32),   -- public half; the secret is in the link only
    name            TEXT,                                               -- the name it is good for; NULL: any free name
    circles         TEXT    NOT NULL DEFAULT '',                        -- labels it gives
    approve         INTEGER NOT NULL CHECK (approve IN (0, 1)),         -- 1: the operator must confirm
    note            TEXT    NOT NULL DEFAULT '',                        -- the operator's words
    created_ms      INTEGER NOT NULL,
    expires_ms      INTEGER NOT NULL,                                   -- unused until then: gone
    used_ms         INTEGER,                                            -- first valid ENROL
    approved_ms     INTEGER,                                            -- by the operator
    denied_ms       INTEGER,                                            -- by the operator
    withdrawn_ms    INTEGER,                                            -- by the operator
    until_ms        INTEGER NOT NULL,                                   -- its key is in the key set until then: expires_ms;
                                                                        -- waiting: used_ms + 7 d; approved: approved_ms + 24 h
    done_ms         INTEGER,                                            -- first HELLO with the new key: left the key set
    agent_id        INTEGER REFERENCES agent,                           -- who came through it
    card            BLOB,                                               -- the card it was used for, waiting or enrolled
    card_sig        BLOB
) STRICT;

CREATE TABLE spk (                              -- signed prekey, newest only
    agent_id        INTEGER PRIMARY KEY REFERENCES agent,
    spk_id          INTEGER NOT NULL,
    statement       BLOB    NOT NULL,
    sig             BLOB    NOT NULL CHECK (length(sig) = 64),
    stored_ms       INTEGER NOT NULL,
    expires_ms      INTEGER NOT NULL
) STRICT;

CREATE TABLE opk (                              -- one-time prekeys, at most 100 an agent; used = deleted
    agent_id        INTEGER NOT NULL REFERENCES agent,
    opk_id          INTEGER NOT NULL,
    key             BLOB    NOT NULL CHECK (length(key) = 32),
    reserved_for    INTEGER REFERENCES agent,       -- requester that LOOKUP promised it to
    reserved_ms     INTEGER,                        -- the promise ends; later the key may be promised again
    PRIMARY KEY (agent_id, opk_id),
    CHECK ((reserved_for IS NULL) = (reserved_ms IS NULL))
) STRICT, WITHOUT ROWID;

---------------------------------------------------------------------------------------------------
-- Relations: sessions and groups share one number space and one event chain
---------------------------------------------------------------------------------------------------

CREATE TABLE scope (                            -- a session or a group: whatever numbers frames and chains events
    scope_id        INTEGER PRIMARY KEY,
    id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    kind            INTEGER NOT NULL CHECK (kind IN (1, 2)),            -- 1 session, 2 group
    next_event      INTEGER NOT NULL DEFAULT 0,                         -- compare-and-swap: number the next event must carry
    head            BLOB    NOT NULL DEFAULT (zeroblob(32)) CHECK (length(head) = 32)   -- digest of the last one
) STRICT;

CREATE TABLE session (                          -- two agents; the row outlives the session by 38 days
    session_id      INTEGER PRIMARY KEY REFERENCES scope,
    a_id            INTEGER NOT NULL REFERENCES agent,                  -- who asked
    b_id            INTEGER NOT NULL REFERENCES agent,                  -- who was asked
    state           INTEGER NOT NULL CHECK (state BETWEEN 1 AND 6),     -- 1 requested 2 active 3 closed 4 rejected 5 expired 6 rotated
    mode            INTEGER NOT NULL CHECK (mode IN (0, 1)),            -- 0 live, 1 mailbox
    suite           INTEGER NOT NULL,
    opened_ms       INTEGER NOT NULL,
    idle_ms         INTEGER NOT NULL,               -- silence allowed
    ends_ms         INTEGER NOT NULL,               -- hard end of life
    due_ms          INTEGER NOT NULL,               -- when the sweep looks again; never later than the true deadline
    ended_ms        INTEGER,
    reason          INTEGER                         -- as in the CLOSED or REJECTED event
) STRICT;
CREATE INDEX session_a ON session (a_id);
CREATE INDEX session_b ON session (b_id);
CREATE INDEX session_due ON session (due_ms) WHERE state IN (1, 2);

CREATE TABLE grp (                              -- a group ("group" is an SQL word)
    group_id        INTEGER PRIMARY KEY REFERENCES scope,
    state           INTEGER NOT NULL CHECK (state IN (1, 2)),           -- 1 open, 2 closed
    epoch           INTEGER NOT NULL,
    stale           INTEGER NOT NULL CHECK (stale IN (0, 1)),           -- 1: somebody left, no new epoch yet
    owner_id        INTEGER NOT NULL REFERENCES agent,
    max_members     INTEGER NOT NULL,
    created_ms      INTEGER NOT NULL,
    closed_ms       INTEGER
) STRICT;

CREATE TABLE member (                           -- membership as the event chain says it is
    group_id        INTEGER NOT NULL REFERENCES grp,
    agent_id        INTEGER NOT NULL REFERENCES agent,
    role            INTEGER NOT NULL CHECK (role BETWEEN 1 AND 3),      -- 1 member, 2 admin, 3 owner
    state           INTEGER NOT NULL CHECK (state IN (1, 2)),           -- 1 invited, 2 joined; removed = no row
    since_ms        INTEGER NOT NULL,
    PRIMARY KEY (group_id, agent_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX member_agent ON member (agent_id);

CREATE TABLE event (                            -- signed and chained: the truth behind session, grp and member
    scope_id        INTEGER NOT NULL REFERENCES scope,
    seq             INTEGER NOT NULL,               -- 0, 1, 2 ... without a gap
    type            INTEGER NOT NULL,               -- 1 opened 2 accepted 3 rejected 4 rotated 5 closed 6 expired; 16.. groups
    actor_id        INTEGER REFERENCES agent,       -- NULL: the controller
    target_id       INTEGER REFERENCES agent,
    at_ms           INTEGER NOT NULL,               -- the signed time
    preimage        BLOB    NOT NULL,
    sig             BLOB    NOT NULL CHECK (length(sig) = 64),
    body            BLOB    NOT NULL,
    digest          BLOB    NOT NULL CHECK (length(digest) = 32),
    PRIMARY KEY (scope_id, seq)
) STRICT;

---------------------------------------------------------------------------------------------------
-- Delivery: streams, cursors, frames.  The hot path: SEND touches sender, frame and stream, ACK the
-- same three and cursor.  Add no index here without bench/bench_store.c.
---------------------------------------------------------------------------------------------------

CREATE TABLE stream (                           -- an ordered list of stored frames; frames - control and bytes are the quota's truth
    stream_id       INTEGER PRIMARY KEY,
    kind            INTEGER NOT NULL CHECK (kind IN (1, 2)),            -- 1 mailbox (one reader), 2 group channel
    agent_id        INTEGER UNIQUE REFERENCES agent,                    -- a mailbox's owner
    group_id        INTEGER UNIQUE REFERENCES grp,                      -- a channel's group
    frames          INTEGER NOT NULL DEFAULT 0 CHECK (frames >= 0),     -- rows of frame in this stream
    bytes           INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0),      -- sum of length(frame)
    control         INTEGER NOT NULL DEFAULT 0 CHECK (control >= 0),    -- of the rows: broker-made (kind >= 16), not in the quota
    last_position   INTEGER NOT NULL DEFAULT 0,                         -- highest ever stored here
    next_expiry_ms  INTEGER NOT NULL DEFAULT 9223372036854775807,       -- the sweep has nothing to do in it earlier; may be too early
    CHECK ((agent_id IS NULL) = (kind = 2) AND (group_id IS NULL) = (kind = 1))
) STRICT;
CREATE TABLE cursor (                           -- how far each reader has signed for a stream
    stream_id       INTEGER NOT NULL REFERENCES stream,
    reader_id       INTEGER NOT NULL REFERENCES agent,
    position        INTEGER NOT NULL DEFAULT 0,     -- everything <= position is settled; only grows
    acked_ms        INTEGER NOT NULL DEFAULT 0,
    proof           BLOB,                           -- the last cursor receipt (preimage and signature), if there was one
    sum             INTEGER NOT NULL,
    PRIMARY KEY (stream_id, reader_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX cursor_reader ON cursor (reader_id);

CREATE TABLE sender (                           -- how far each sender's numbering has come; survives its frames
    session_id      INTEGER NOT NULL REFERENCES scope,
    sender_id       INTEGER NOT NULL REFERENCES agent,
    stored_seq      INTEGER NOT NULL DEFAULT 0,     -- the next frame must carry stored_seq + 1
    settled_seq     INTEGER NOT NULL DEFAULT 0,     -- all up to here have left their stream; the rest is waiting
    waiting_bytes   INTEGER NOT NULL DEFAULT 0 CHECK (waiting_bytes >= 0),  -- sum of length(frame) of what waits
    total_bytes     INTEGER NOT NULL DEFAULT 0,     -- ever stored
    last_ms         INTEGER NOT NULL DEFAULT 0,     -- last stored
    digest          BLOB    NOT NULL DEFAULT (zeroblob(32)) CHECK (length(digest) = 32),    -- of frame stored_seq; zeros: not known
    sum             INTEGER NOT NULL,
    PRIMARY KEY (session_id, sender_id),
    CHECK (settled_seq <= stored_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE frame (                            -- one stored frame; gone when every reader has signed for it
    position        INTEGER PRIMARY KEY,            -- broker-wide, ascending in commit order, given by the store, never reused
    stream_id       INTEGER NOT NULL,               -- stream
    session_id      INTEGER,                        -- scope: the session, or the group
    sender_id       INTEGER,                        -- agent; a receipt's signer; NULL: the broker
    sender_seq      INTEGER,                        -- 1, 2, 3 ... without a gap; NULL: broker-made (kind >= 16)
    kind            INTEGER NOT NULL,               -- 1 request 2 accept 3 data 8 group; 16 receipt 17 event 18 notice
    stored_ms       INTEGER NOT NULL,
    expires_ms      INTEGER NOT NULL,               -- a tombstone is removed 38 days later
    digest          BLOB    NOT NULL CHECK (length(digest) = 32),   -- frame_digest; broker-made: SHA-256 of frame
    reason          INTEGER,                        -- why only a tombstone is left, as dead.reason; NULL: it is none
    sum             INTEGER NOT NULL,               -- checked whenever frame is read
    frame           BLOB    CHECK (length(frame) <= 65766),         -- exact bytes received; NULL: tombstone.  Last: a
                                                    -- column behind it would be read through its overflow pages
    UNIQUE (session_id, sender_id, sender_seq),
    CHECK ((sender_seq IS NULL) = (kind >= 16)),
    CHECK ((reason IS NULL) = (frame IS NOT NULL))
) STRICT;
CREATE INDEX frame_stream ON frame (stream_id);     -- within a stream ordered by position: an index ends with the rowid

CREATE TABLE dead (                             -- what was not delivered, and why; facts only, kept 30 days
    dead_id         INTEGER PRIMARY KEY,
    at_ms           INTEGER NOT NULL,
    reason          INTEGER NOT NULL CHECK (reason BETWEEN 1 AND 8),
                    -- 1 expired  2 refused by recipient  3 could not be opened  4 recipient revoked
                    -- 5 session ended  6 damaged on disk  7 purged by operator  8 reader removed from group
                    -- (0, the reader's own group frame, exists on the wire only)
    session_id      INTEGER,                        -- scope, which may be gone
    sender_id       INTEGER REFERENCES agent,
    sender_seq      INTEGER,
    recipient_id    INTEGER REFERENCES agent,       -- NULL: every reader of a channel
    position        INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    stored_ms       INTEGER NOT NULL,
    expires_ms      INTEGER NOT NULL,
    digest          BLOB    NOT NULL CHECK (length(digest) = 32),
    detail          TEXT    NOT NULL DEFAULT ''     -- never the peer's own text
) STRICT;

---------------------------------------------------------------------------------------------------
-- Blobs: large encrypted content in 64 KiB chunks
---------------------------------------------------------------------------------------------------

CREATE TABLE blob (
    blob_id         INTEGER PRIMARY KEY,
    id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),    -- random; knowing it is the right to read
    owner_id        INTEGER NOT NULL REFERENCES agent,
    bytes           INTEGER NOT NULL,               -- as announced; charged to usage at once
    chunks          INTEGER NOT NULL,               -- expected
    have            INTEGER NOT NULL DEFAULT 0,     -- stored so far; complete = (have = chunks and checked)
    hash            BLOB    NOT NULL CHECK (length(hash) = 32),         -- over all chunks
    checked         INTEGER NOT NULL DEFAULT 0 CHECK (checked IN (0, 1)),
    gets_left       INTEGER,                        -- NULL: until it expires
    created_ms      INTEGER NOT NULL,
    expires_ms      INTEGER NOT NULL
) STRICT;
CREATE INDEX blob_expiry ON blob (expires_ms);
CREATE INDEX blob_owner ON blob (owner_id);

CREATE TABLE chunk (
    blob_id         INTEGER NOT NULL REFERENCES blob,
    idx             INTEGER NOT NULL,               -- 0, 1, 2 ...
    digest          BLOB    NOT NULL CHECK (length(digest) = 32),       -- SHA-256 of bytes
    bytes           BLOB    NOT NULL CHECK (length(bytes) BETWEEN 1 AND 65553),
    PRIMARY KEY (blob_id, idx)
) STRICT;

CREATE TABLE usage (                            -- what an agent uses beyond its mailbox (which stream counts)
    agent_id        INTEGER PRIMARY KEY REFERENCES agent,
    blobs           INTEGER NOT NULL DEFAULT 0 CHECK (blobs >= 0),
    blob_bytes      INTEGER NOT NULL DEFAULT 0 CHECK (blob_bytes >= 0),
    requests_out    INTEGER NOT NULL DEFAULT 0 CHECK (requests_out >= 0),   -- sessions it asked for, unanswered
    requests_in     INTEGER NOT NULL DEFAULT 0 CHECK (requests_in >= 0),    -- held for it: waiting for its answer
    request_bytes   INTEGER NOT NULL DEFAULT 0 CHECK (request_bytes >= 0)   -- their frames
) STRICT;

---------------------------------------------------------------------------------------------------
-- For the operator
---------------------------------------------------------------------------------------------------

CREATE TABLE minute (                           -- what happened, one row a minute, 7 days
    minute          INTEGER PRIMARY KEY,            -- Unix time / 60 s
    frames_in       INTEGER NOT NULL,               -- stored
    bytes_in        INTEGER NOT NULL,
    frames_out      INTEGER NOT NULL,               -- signed for
    bytes_out       INTEGER NOT NULL,
    expired         INTEGER NOT NULL,
    refused         INTEGER NOT NULL,               -- requests answered with an error
    commits         INTEGER NOT NULL,
    commit_us_max   INTEGER NOT NULL,
    connected       INTEGER NOT NULL                -- agents, at the end of the minute
) STRICT;

CREATE TABLE audit (                            -- acts of operators and alarms; the newest 100,000
    audit_id        INTEGER PRIMARY KEY,
    at_ms           INTEGER NOT NULL,
    who             TEXT    NOT NULL,               -- operator's user name, agent's name, "broker"
    act             TEXT    NOT NULL,               -- invite.new, agent.revoke, frame.damaged, store.restored ...
    about           TEXT    NOT NULL DEFAULT '',
    detail          TEXT    NOT NULL DEFAULT ''
) STRICT;

INSERT INTO meta (key, value, comment) VALUES
    ('schema',          1,              'the same as PRAGMA user_version'),
    ('views',           1,              'version of the v_* views'),
    ('store_id',        randomblob(16), 'this store, for ever'),
    ('incarnation',     randomblob(16), 'this history; new after every restore'),
    ('incarnation_ms',  0, 'when a restore made it, 0: first one; no EXPIRED of sessions for 24 h after'),
    ('boot',            0,              'starts of the broker'),
    ('position_limit',  0,              'positions up to here may have been given out'),
    ('serial_limit',    0,              'certificate serials up to here may have been given out'),
    ('clock_ms',        0,              'newest time the broker has acted on, written once a minute'),
    ('pages',           0,              'pages of broker.db, written once a minute like the next four'),
    ('pages_max',       0,              'its limit'),
    ('pages_free',      0,              'pages on the free list'),
    ('wal_pages',       0,              'pages in the write-ahead log'),
    ('accepting',       1,              '0: SEND is refused for want of space'),
    ('created_ms',      unixepoch() * 1000, 'when this file was made'),
    ('check_done_ms',   0,              'last integrity_check without a finding'),
    ('backup_done_ms',  0,              'last complete backup');
-- 'backup_of' (the incarnation) is present only inside a backup: opening such a file makes a new incarnation.
