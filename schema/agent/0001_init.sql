-- 0001.  An agent's profile.  Never edit a released migration; add 0002.
--
-- One file per identity, mode 0600, opened only by the process that holds the profile's lock.
-- Conventions as in schema/broker, and:
--   sealed    nonce 24 | XChaCha20-Poly1305(profile key, ad = L("state") | "table.column" 0 | u64 key | u64 version)
--             so that no value can be moved to another row, column or version
--   version   raised by 1 with every change of a sealed column; tables whose sealed values never change have none
--   frame     end-to-end ciphertext exactly as on the wire; needs no second seal
-- AUTOINCREMENT where a number is shown to people or bound into a seal: it must never be used twice.

PRAGMA application_id = 0x53504131;             -- "SPA1"
PRAGMA user_version = 1;                        -- the highest migration applied

CREATE TABLE meta (
    key             TEXT    PRIMARY KEY,
    value           ANY     NOT NULL,
    comment         TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

---------------------------------------------------------------------------------------------------
-- Who I am
---------------------------------------------------------------------------------------------------

CREATE TABLE profile (                          -- exactly one row.  The instance of HELLO is not here: it is drawn by each
                                                -- process, so that a copy of this file cannot pass for the original
    profile_id      INTEGER PRIMARY KEY CHECK (profile_id = 1),
    name            TEXT    NOT NULL,
    id              BLOB    NOT NULL CHECK (length(id) = 32),
    endpoint        TEXT    NOT NULL,               -- tcp://host:port
    broker_key      BLOB    NOT NULL CHECK (length(broker_key) = 32),   -- CURVE, pinned by the invite
    root_id         BLOB    NOT NULL CHECK (length(root_id) = 32),      -- controller, pinned by the invite
    root_key        BLOB    CHECK (length(root_key) = 32),              -- its key, fits root_id; NULL until enrolled
    server_card     BLOB,                                               -- newest, signature last; NULL until enrolled
    incarnation     BLOB    NOT NULL DEFAULT (zeroblob(16)) CHECK (length(incarnation) = 16),   -- of the broker, last HELLO
    card            BLOB    NOT NULL,
    card_sig        BLOB    NOT NULL CHECK (length(card_sig) = 64),
    card_gen        INTEGER NOT NULL,
    certificate     BLOB,                           -- newest; NULL until approved
    certificate_sig BLOB,
    key_check       BLOB    NOT NULL                -- sealed "sealpost": is this the right profile key?
) STRICT;

CREATE TABLE secret (                           -- every private key, and nothing else holds one
    secret_id       INTEGER PRIMARY KEY AUTOINCREMENT,
    kind            INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 6),      -- 1 ik  2 dk  3 tk  4 signed prekey  5 one-time prekey
                                                                        -- 6 invite's CURVE key, until the first HELLO
    number          INTEGER NOT NULL,               -- card_gen, spk_id or opk_id; else 0
    public          BLOB    NOT NULL,
    private         BLOB    NOT NULL,               -- sealed
    created_ms      INTEGER NOT NULL,
    delete_ms       INTEGER,                        -- replaced: wipe then.  NULL: in use
    UNIQUE (kind, number)
) STRICT;

---------------------------------------------------------------------------------------------------
-- Whom I know
---------------------------------------------------------------------------------------------------

CREATE TABLE peer (
    peer_id         INTEGER PRIMARY KEY,
    id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 32),
    name            TEXT    NOT NULL,               -- the controller's label when first seen
    identity_key    BLOB    CHECK (length(identity_key) = 32),          -- this and the next three: NULL, 0 until the first LOOKUP
    card_gen        INTEGER NOT NULL DEFAULT 0,     -- highest seen; lower is refused
    card_hash       BLOB    CHECK (length(card_hash) = 32),
    credential      BLOB,
    pin             INTEGER NOT NULL CHECK (pin BETWEEN 0 AND 4),   -- 0 none 1 first use 2 verified 3 changed 4 blocked
    policy          INTEGER NOT NULL DEFAULT 0 CHECK (policy BETWEEN 0 AND 2),  -- requests: 0 default, 1 accepted before, 2 ask
                                                                                -- (set when we close)
    first_seen_ms   INTEGER NOT NULL,
    pinned_ms       INTEGER,
    revoked_ms      INTEGER
) STRICT;
CREATE INDEX peer_name ON peer (name);

CREATE TABLE pin_change (                       -- history of trust; append only
    change_id       INTEGER PRIMARY KEY,
    peer_id         INTEGER NOT NULL REFERENCES peer,
    at_ms           INTEGER NOT NULL,
    pin_before      INTEGER NOT NULL,
    pin_after       INTEGER NOT NULL,
    why             TEXT    NOT NULL
) STRICT;

CREATE TABLE alarm (                            -- what a person must see; open until cleared
    alarm_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms           INTEGER NOT NULL,
    code            TEXT    NOT NULL,               -- key_changed split_view impersonation gap undecryptable profile_restored group_fork
    peer_id         INTEGER REFERENCES peer,
    scope_id        INTEGER REFERENCES scope,
    detail          TEXT    NOT NULL DEFAULT '',
    cleared_ms      INTEGER
) STRICT;

CREATE TABLE log (                              -- copy of the controller's log: to compare, to watch my own name, and the directory
    idx             INTEGER PRIMARY KEY,
    type            INTEGER NOT NULL,
    id              BLOB    NOT NULL,               -- agent
    card_hash       BLOB    NOT NULL,
    name            TEXT    NOT NULL,
    extra           BLOB    NOT NULL,               -- as in the entry
    circles         TEXT    NOT NULL DEFAULT '',    -- of an ENROL entry, from extra: ascending, one space between
    at_ms           INTEGER NOT NULL,
    digest          BLOB    NOT NULL CHECK (length(digest) = 32)
) STRICT;
CREATE INDEX log_name ON log (name);
CREATE INDEX log_id ON log (id);

---------------------------------------------------------------------------------------------------
-- Relations
---------------------------------------------------------------------------------------------------

CREATE TABLE scope (                            -- a session or a group, as at the broker
    scope_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    kind            INTEGER NOT NULL CHECK (kind IN (1, 2)),
    next_seq        INTEGER NOT NULL DEFAULT 1,     -- number of my next frame; raised in the transaction that seals it
    receipted_seq   INTEGER NOT NULL DEFAULT 0,     -- my frames up to here are settled: receipt, dead letter, group row aged out
    next_event      INTEGER NOT NULL DEFAULT 0,
    head            BLOB    NOT NULL DEFAULT (zeroblob(32)) CHECK (length(head) = 32),
    adopts          INTEGER NOT NULL DEFAULT 0 CHECK (adopts IN (0, 1))     -- a group that I have left: joined again, the
                                                                            -- broker's count of my frames is taken over, once
) STRICT;

CREATE TABLE event (                            -- the chain as I verified it
    scope_id        INTEGER NOT NULL REFERENCES scope,
    seq             INTEGER NOT NULL,
    preimage        BLOB    NOT NULL,
    sig             BLOB    NOT NULL CHECK (length(sig) = 64),
    body            BLOB    NOT NULL,
    digest          BLOB    NOT NULL CHECK (length(digest) = 32),
    stored          INTEGER NOT NULL DEFAULT 1 CHECK (stored IN (0, 1)),    -- 0: mine, not yet confirmed by the broker
    PRIMARY KEY (scope_id, seq)
) STRICT;
CREATE INDEX event_waiting ON event (scope_id) WHERE stored = 0;

CREATE TABLE session (
    session_id      INTEGER PRIMARY KEY REFERENCES scope,
    peer_id         INTEGER NOT NULL REFERENCES peer,
    state           INTEGER NOT NULL CHECK (state BETWEEN 1 AND 8),
                    -- 1 asked  2 was asked  3 active  4 closed  5 rejected  6 expired  7 rotated  8 broken
    mode            INTEGER NOT NULL CHECK (mode IN (0, 1)),            -- 0 live, 1 mailbox
    suite           INTEGER NOT NULL,
    opened_ms       INTEGER NOT NULL,
    due_ms          INTEGER NOT NULL,               -- answer, idle or hard end, whichever comes first
    heard_ms        INTEGER NOT NULL DEFAULT 0,     -- last frame opened
    version         INTEGER NOT NULL DEFAULT 0,
    ratchet         BLOB,                           -- sealed crypto/state, about 420 B; NULL once it has ended, in state 7 a minute later
    skipped         INTEGER NOT NULL DEFAULT 0      -- keys in table skipped
) STRICT;
CREATE INDEX session_peer ON session (peer_id);
CREATE INDEX session_due ON session (due_ms) WHERE state <= 3;

CREATE TABLE skipped (                          -- message keys kept for late frames; written only when the set changes
    session_id      INTEGER PRIMARY KEY REFERENCES session,
    version         INTEGER NOT NULL,
    keys            BLOB    NOT NULL                -- sealed; at most 2,000 keys, 72 KB
) STRICT;

CREATE TABLE received (                         -- what I have already opened: dedup before decryption
    scope_id        INTEGER NOT NULL REFERENCES scope,
    peer_id         INTEGER NOT NULL REFERENCES peer,
    seq             INTEGER NOT NULL,               -- highest opened
    digest          BLOB    NOT NULL CHECK (length(digest) = 32),       -- of that frame
    missing         BLOB,                           -- numbers below seq that never came, u64 each, ascending, at most 2,000
                                                    -- (the oldest leave); NULL: none.  All others up to seq are duplicates
    PRIMARY KEY (scope_id, peer_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE grp (
    group_id        INTEGER PRIMARY KEY REFERENCES scope,
    state           INTEGER NOT NULL CHECK (state BETWEEN 1 AND 5),     -- 1 invited 2 joined 3 left or removed 4 closed 5 forked
    role            INTEGER NOT NULL CHECK (role BETWEEN 1 AND 3),
    epoch           INTEGER NOT NULL,
    stale           INTEGER NOT NULL DEFAULT 0 CHECK (stale IN (0, 1)), -- somebody left, no new epoch yet
    heard_ms        INTEGER NOT NULL,               -- newest word of an admin; too old: do not send
    version         INTEGER NOT NULL DEFAULT 0,
    title           BLOB                            -- sealed; the broker never sees it
) STRICT;

CREATE TABLE member (
    group_id        INTEGER NOT NULL REFERENCES grp,
    peer_id         INTEGER NOT NULL,               -- peer; 0 is myself
    role            INTEGER NOT NULL CHECK (role BETWEEN 1 AND 3),
    state           INTEGER NOT NULL CHECK (state IN (1, 2)),
    PRIMARY KEY (group_id, peer_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE chain (                            -- one sending chain per epoch and member, mine included
    chain_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id        INTEGER NOT NULL REFERENCES grp,
    epoch           INTEGER NOT NULL,
    peer_id         INTEGER NOT NULL,               -- 0 is myself
    version         INTEGER NOT NULL DEFAULT 0,
    state           BLOB    NOT NULL,               -- sealed: chain key, generation, skipped keys
    skipped         INTEGER NOT NULL DEFAULT 0,     -- keys in it for frames that are late
    delete_ms       INTEGER,                        -- old epochs: wipe then
    UNIQUE (group_id, epoch, peer_id)
) STRICT;
CREATE INDEX chain_over ON chain (delete_ms) WHERE delete_ms IS NOT NULL;
CREATE INDEX chain_skipped ON chain (group_id) WHERE skipped > 0;

CREATE TABLE epoch_job (                        -- an epoch that I am handing out; survives a crash half way
    job_id          INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id        INTEGER NOT NULL REFERENCES grp,
    epoch           INTEGER NOT NULL,
    state           INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3),         -- 1 event not yet confirmed, 2 sending keys
                                                                            -- 3 another's key that came before its EPOCH
    secret          BLOB    NOT NULL,               -- sealed epoch secret; row deleted when every member has a frame queued
    next_peer       INTEGER NOT NULL DEFAULT 0      -- members with a smaller number are done
) STRICT;
CREATE UNIQUE INDEX epoch_job_group ON epoch_job (group_id, state = 3, iif(state = 3, epoch, 0));

---------------------------------------------------------------------------------------------------
-- Messages
---------------------------------------------------------------------------------------------------

CREATE TABLE outbox (                           -- my messages: until settled, then for `sent.keep`; given-up ones move to dead
    outbox_id       INTEGER PRIMARY KEY AUTOINCREMENT,
    peer_id         INTEGER REFERENCES peer,        -- to whom; NULL: a group
    group_id        INTEGER REFERENCES grp,
    scope_id        INTEGER REFERENCES scope,       -- NULL while queued: no session, or no epoch key yet; set for what goes
                                                    -- into this session or nowhere
    seq             INTEGER,                        -- NULL while queued
    msg_id          BLOB    NOT NULL UNIQUE CHECK (length(msg_id) = 16),
    thread          BLOB    NOT NULL CHECK (length(thread) = 16),       -- msg_id of the first message of its chain
    retry_of        BLOB    CHECK (length(retry_of) = 16),              -- the dead letter that it repeats
    state           INTEGER NOT NULL CHECK (state BETWEEN 1 AND 4),     -- 1 queued  2 sealed  3 accepted by the broker  4 delivered
    kind            INTEGER NOT NULL DEFAULT 0 CHECK (kind BETWEEN 0 AND 8),    -- inner kind; 3-8: control, message ends with the receipt
    message         BLOB,                           -- sealed envelope: for sealing again, retry and show; NULL: control, settled
    bytes           INTEGER NOT NULL,               -- of the body
    frame           BLOB,                           -- what every attempt sends, byte for byte; wiped in state 4
    digest          BLOB    CHECK (length(digest) = 32),
    epoch           INTEGER,                        -- groups: sealed under; A2A_EPOCH: sealed anew, same seq, other frame and digest
    created_ms      INTEGER NOT NULL,               -- queued
    sealed_ms       INTEGER,
    accepted_ms     INTEGER,
    delivered_ms    INTEGER,                        -- receipt came; groups: 24 h after accepted_ms
    expires_ms      INTEGER NOT NULL,
    tries           INTEGER NOT NULL DEFAULT 0,
    retry_ms        INTEGER NOT NULL DEFAULT 0,     -- next attempt
    damaged         INTEGER NOT NULL DEFAULT 0,     -- notices of reason 6 so far; after the third: dead
    live            INTEGER NOT NULL DEFAULT 0 CHECK (live IN (0, 1)),  -- asks for, or belongs to, a live session
    recipients      INTEGER NOT NULL DEFAULT 1,     -- groups: other members of the epoch that it was sealed under
    UNIQUE (scope_id, seq),
    CHECK ((peer_id IS NULL) = (group_id IS NOT NULL)),
    CHECK ((message IS NULL) = (kind >= 3 AND state = 4)),
    CHECK ((seq IS NULL) = (state = 1) AND (digest IS NULL) = (state = 1) AND (frame IS NULL) = (state IN (1, 4)))
) STRICT;
CREATE INDEX outbox_retry ON outbox (retry_ms) WHERE state = 2;
CREATE INDEX outbox_queued ON outbox (peer_id, group_id) WHERE state = 1;
CREATE INDEX outbox_thread ON outbox (thread);
CREATE INDEX outbox_group ON outbox (accepted_ms) WHERE group_id IS NOT NULL AND state = 3;

CREATE TABLE signed (                           -- who signed for a group message, if receipts are on
    outbox_id       INTEGER NOT NULL REFERENCES outbox ON DELETE CASCADE,
    peer_id         INTEGER NOT NULL REFERENCES peer,
    at_ms           INTEGER NOT NULL,
    PRIMARY KEY (outbox_id, peer_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (                            -- until the program says done, then for `inbox.keep`
    inbox_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    scope_id        INTEGER NOT NULL REFERENCES scope,
    peer_id         INTEGER NOT NULL REFERENCES peer,
    seq             INTEGER NOT NULL,
    digest          BLOB    NOT NULL CHECK (length(digest) = 32),
    msg_id          BLOB    NOT NULL CHECK (length(msg_id) = 16),
    thread          BLOB    NOT NULL CHECK (length(thread) = 16),
    state           INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),     -- 0 held: request not accepted  1 new  2 handed  3 done  4 failed
    first_contact   INTEGER NOT NULL CHECK (first_contact IN (0, 1)),   -- first message ever taken from this agent
    message         BLOB    NOT NULL,               -- sealed envelope
    bytes           INTEGER NOT NULL,               -- of the body
    stored_ms       INTEGER NOT NULL,               -- at the broker
    received_ms     INTEGER NOT NULL,
    expires_ms      INTEGER NOT NULL,
    handed_ms       INTEGER,                        -- last given to a program; given again if it never says done
    done_ms         INTEGER,                        -- done or failed
    tries           INTEGER NOT NULL DEFAULT 0,     -- times it was given to a program
    retry_ms        INTEGER NOT NULL DEFAULT 0,     -- next try of a handler
    UNIQUE (scope_id, peer_id, seq)
) STRICT;
CREATE INDEX inbox_open ON inbox (inbox_id) WHERE state IN (1, 2);
CREATE INDEX inbox_thread ON inbox (thread);
CREATE INDEX inbox_message ON inbox (msg_id);

CREATE TABLE held (                             -- group frames whose epoch key has not come: acknowledged, opened when it does;
    held_id         INTEGER PRIMARY KEY AUTOINCREMENT,                  -- at most 1,000 a group and 30 days
    group_id        INTEGER NOT NULL REFERENCES grp,
    peer_id         INTEGER NOT NULL REFERENCES peer,
    seq             INTEGER NOT NULL,
    epoch           INTEGER NOT NULL,
    digest          BLOB    NOT NULL CHECK (length(digest) = 32),
    frame           BLOB    NOT NULL,
    stored_ms       INTEGER NOT NULL,
    received_ms     INTEGER NOT NULL,
    UNIQUE (group_id, peer_id, seq)
) STRICT;

CREATE TABLE known (                            -- ids of messages taken, 38 days: sealed anew or sent again, they are dropped
    peer_id         INTEGER NOT NULL REFERENCES peer,
    msg_id          BLOB    NOT NULL CHECK (length(msg_id) = 16),
    at_ms           INTEGER NOT NULL,
    PRIMARY KEY (peer_id, msg_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX known_age ON known (at_ms);

CREATE TABLE ack (                              -- of my mailbox: settled here, not yet confirmed by the broker; input of the
                                                -- next receipts.  Of a channel none is kept: it is read again from its cursor
    position        INTEGER PRIMARY KEY,            -- at the broker, of this incarnation
    scope_id        INTEGER REFERENCES scope,       -- NULL: receipt, event, notice, or nothing of mine
    peer_id         INTEGER REFERENCES peer,
    seq             INTEGER,
    digest          BLOB    NOT NULL CHECK (length(digest) = 32),
    status          INTEGER NOT NULL CHECK (status BETWEEN 0 AND 4)
                    -- 0 silent: covered by the cursor receipt alone  1 opened  2 could not  3 refused  4 only a tombstone came
) STRICT;

CREATE TABLE cursor (                           -- emptied when the incarnation changes
    stream          INTEGER PRIMARY KEY,            -- 0 my mailbox, else the group
    position        INTEGER NOT NULL,               -- mailbox: confirmed by the broker; channel: settled here
    epoch           INTEGER NOT NULL DEFAULT 0      -- channel: newest one that was read from it
) STRICT;

CREATE TABLE dead (                             -- dead letters, both ways; 30 days
    dead_id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms           INTEGER NOT NULL,
    incoming        INTEGER NOT NULL CHECK (incoming IN (0, 1)),
    reason          INTEGER NOT NULL,               -- as in the broker's dead.reason; 20 key changed 21 state lost 22 gave up
                                                    -- 23 dropped by its user  24 rejected  25 blocked  26 unknown agent
    peer_id         INTEGER REFERENCES peer,
    group_id        INTEGER REFERENCES grp,
    scope_id        INTEGER REFERENCES scope,
    seq             INTEGER,
    msg_id          BLOB,
    digest          BLOB    CHECK (length(digest) = 32),                -- of its frame: a late receipt still fits
    message         BLOB,                           -- outgoing: sealed envelope, so that it can be sent again as a new message; inner kinds 3-8: NULL
    created_ms      INTEGER,                        -- outgoing: queued
    accepted_ms     INTEGER,                        -- outgoing: stored by the broker
    frame           BLOB,                           -- incoming: as received, at most 100 kept
    detail          TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX dead_frame ON dead (scope_id, seq);
CREATE INDEX dead_message ON dead (msg_id);

CREATE TABLE idempotent (                       -- the callers' own keys: outgoing 24 hours, incoming 30 days
    incoming        INTEGER NOT NULL CHECK (incoming IN (0, 1)),
    peer_id         INTEGER NOT NULL REFERENCES peer,
    key             TEXT    NOT NULL CHECK (length(key) BETWEEN 1 AND 64),
    msg_id          BLOB    NOT NULL CHECK (length(msg_id) = 16),       -- the first message that carried it
    reply_id        BLOB    CHECK (length(reply_id) = 16),              -- incoming: the answer to repeat
    created_ms      INTEGER NOT NULL,
    PRIMARY KEY (incoming, peer_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE blob (                             -- large content on its way
    blob_id         INTEGER PRIMARY KEY AUTOINCREMENT,
    id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    incoming        INTEGER NOT NULL CHECK (incoming IN (0, 1)),
    path            TEXT    NOT NULL,               -- source, or target while it is still NAME.part
    bytes           INTEGER NOT NULL,
    chunks          INTEGER NOT NULL,
    done            INTEGER NOT NULL DEFAULT 0,     -- chunks confirmed, from the front
    hash            BLOB,                           -- over all chunks; NULL while sealing
    version         INTEGER NOT NULL DEFAULT 0,
    key             BLOB    NOT NULL,               -- sealed: key and header
    resume          BLOB,                           -- sealed: stream state after chunk done
    expires_ms      INTEGER NOT NULL
) STRICT;

INSERT INTO meta (key, value, comment) VALUES
    ('schema',      1,                  'the same as PRAGMA user_version'),
    ('views',       1,                  'version of the v_* views'),
    ('boot',        0,                  'times this profile was opened for writing'),
    ('clock_ms',    0,                  'newest time acted on'),
    ('created_ms',  unixepoch() * 1000, 'when this profile was made');
