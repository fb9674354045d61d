CREATE TABLE meta (                             -- facts about this file
    key             TEXT    PRIMARY KEY,
    value           ANY     NOT NULL,
    comment         TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
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
CREATE UNIQUE INDEX agent_name ON agent (name) WHERE state = 1;
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
    since_ms        INTEGER NOT NULL, expires_ms INTEGER,
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
CREATE INDEX frame_stream ON frame (stream_id);
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
CREATE TABLE opk_used (                         -- one-time prekeys that a request has taken, for 38 days
    agent_id        INTEGER NOT NULL REFERENCES agent,
    opk_id          INTEGER NOT NULL,
    key             BLOB    NOT NULL CHECK (length(key) = 32),
    used_ms         INTEGER NOT NULL,
    PRIMARY KEY (agent_id, opk_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX opk_used_age ON opk_used (used_ms);
CREATE VIEW v_queues AS         -- one row per stream: who has mail waiting, and for how long
SELECT s.stream_id              AS stream,
       iif(s.kind = 1, 'mailbox', 'channel')                            AS kind,
       coalesce(a.name, '#' || lower(substr(hex(g.id), 1, 8)))          AS queue,
       s.frames, s.bytes,
       printf('%.1f KiB', s.bytes / 1024.0)                             AS size,
       unixepoch() - f.stored_ms / 1000                                 AS oldest_s,
       strftime('%Y-%m-%dT%H:%M:%SZ', f.stored_ms / 1000, 'unixepoch')  AS oldest_utc,
       (SELECT unixepoch() - max(acked_ms) / 1000 FROM cursor c
         WHERE c.stream_id = s.stream_id AND acked_ms > 0)              AS acked_s,
       iif(s.kind = 1, unixepoch() - a.seen_ms / 1000, NULL)            AS seen_s,
       iif(s.frames > 0, s.next_expiry_ms / 1000 - unixepoch(), NULL)   AS expires_s
  FROM stream s
  LEFT JOIN agent a ON a.agent_id = s.agent_id
  LEFT JOIN scope g ON g.scope_id = s.group_id
  LEFT JOIN frame f ON f.position = (SELECT min(position) FROM frame WHERE stream_id = s.stream_id);
CREATE VIEW v_frames AS         -- one row per stored frame, oldest first
SELECT f.position,
       strftime('%Y-%m-%dT%H:%M:%fZ', f.stored_ms / 1000.0, 'unixepoch') AS stored_utc,
       unixepoch() - f.stored_ms / 1000                                 AS age_s,
       coalesce(a.name, '(broker)')                                     AS "from",
       coalesce(r.name, '#' || lower(substr(hex(g.id), 1, 8)))          AS "to",
       CASE f.kind WHEN 1 THEN 'request' WHEN 2 THEN 'accept' WHEN 3 THEN 'data' WHEN 8 THEN 'group'
                   WHEN 16 THEN 'receipt' WHEN 17 THEN 'event' WHEN 18 THEN 'notice' ELSE f.kind END AS kind,
       lower(substr(hex(c.id), 1, 8))                                   AS session8,
       f.sender_seq                                                     AS seq,
       coalesce(length(f.frame), 0)                                     AS bytes,
       printf('%.1f KiB', coalesce(length(f.frame), 0) / 1024.0)        AS size,
       f.expires_ms / 1000 - unixepoch()                                AS expires_s,
       iif(f.frame IS NULL, 'tombstone', 'waiting')                     AS state,
       lower(substr(hex(f.digest), 1, 8))                               AS digest8,
       f.stream_id                                                      AS stream
  FROM frame f
  JOIN stream s ON s.stream_id = f.stream_id
  LEFT JOIN agent a ON a.agent_id = f.sender_id
  LEFT JOIN agent r ON r.agent_id = s.agent_id
  LEFT JOIN scope g ON g.scope_id = s.group_id
  LEFT JOIN scope c ON c.scope_id = f.session_id;
CREATE VIEW v_agents AS         -- one row per agent: alive, provided with keys, within quota?
SELECT a.agent_id               AS agent,
       a.name,
       lower(substr(hex(a.id), 1, 8))                                   AS id8,
       a.circles,
       iif(a.state = 1, 'active', 'revoked')                            AS state,
       strftime('%Y-%m-%dT%H:%M:%SZ', a.enrolled_ms / 1000, 'unixepoch') AS enrolled_utc,
       strftime('%Y-%m-%dT%H:%M:%SZ', a.seen_ms / 1000, 'unixepoch')    AS seen_utc,
       unixepoch() - a.seen_ms / 1000                                   AS seen_s,
       a.card_gen,
       x.until_ms / 1000 - unixepoch()                                  AS cert_left_s,
       k.expires_ms / 1000 - unixepoch()                                AS spk_left_s,
       (SELECT count(*) FROM opk o WHERE o.agent_id = a.agent_id)       AS opks,
       s.frames                                                         AS waiting,
       s.bytes,
       printf('%.1f KiB', s.bytes / 1024.0)                             AS size,
       coalesce(u.blob_bytes, 0)                                        AS blob_bytes,
       coalesce(u.requests_in, 0)                                       AS requests_in,
       a.quota_frames, a.quota_bytes
  FROM agent a
  LEFT JOIN stream s ON s.agent_id = a.agent_id
  LEFT JOIN certificate x ON x.agent_id = a.agent_id
  LEFT JOIN spk k ON k.agent_id = a.agent_id
  LEFT JOIN usage u ON u.agent_id = a.agent_id;
CREATE VIEW v_flows AS          -- one row per sender and recipient: how much, ever and now
SELECT a.name                   AS "from",
       coalesce(r.name, '#' || lower(substr(hex(c.id), 1, 8)))          AS "to",
       count(*)                                                         AS sessions,
       sum(n.stored_seq)                                                AS frames,
       sum(n.total_bytes)                                               AS bytes,
       printf('%.1f KiB', sum(n.total_bytes) / 1024.0)                  AS size,
       sum(n.stored_seq - n.settled_seq)                                AS waiting,
       sum(n.waiting_bytes)                                             AS waiting_bytes,
       strftime('%Y-%m-%dT%H:%M:%SZ', max(n.last_ms) / 1000, 'unixepoch') AS last_utc,
       unixepoch() - max(n.last_ms) / 1000                              AS last_s
  FROM sender n
  JOIN agent a ON a.agent_id = n.sender_id
  JOIN scope c ON c.scope_id = n.session_id
  LEFT JOIN session s ON s.session_id = n.session_id
  LEFT JOIN agent r ON r.agent_id = iif(s.a_id = n.sender_id, s.b_id, s.a_id)
 WHERE n.stored_seq > 0
 GROUP BY a.agent_id, coalesce(r.agent_id, -c.scope_id);
CREATE VIEW v_sessions AS       -- one row per session
SELECT s.session_id             AS session,
       lower(substr(hex(c.id), 1, 8))                                   AS session8,
       a.name AS a, b.name AS b,
       CASE s.state WHEN 1 THEN 'requested' WHEN 2 THEN 'active' WHEN 3 THEN 'closed' WHEN 4 THEN 'rejected'
                    WHEN 5 THEN 'expired' ELSE 'rotated' END            AS state,
       iif(s.mode = 0, 'live', 'mailbox')                               AS mode,
       strftime('%Y-%m-%dT%H:%M:%SZ', s.opened_ms / 1000, 'unixepoch')  AS opened_utc,
       unixepoch() - s.opened_ms / 1000                                 AS age_s,
       unixepoch() - max(s.opened_ms, coalesce(x.last_ms, 0), coalesce(y.last_ms, 0)) / 1000 AS idle_s,
       iif(s.state IN (1, 2), s.ends_ms / 1000 - unixepoch(), NULL)     AS ends_s,
       coalesce(x.stored_seq, 0)                                        AS a_sent,
       coalesce(x.stored_seq - x.settled_seq, 0)                        AS a_waiting,
       coalesce(y.stored_seq, 0)                                        AS b_sent,
       coalesce(y.stored_seq - y.settled_seq, 0)                        AS b_waiting,
       c.next_event                                                     AS events
  FROM session s
  JOIN scope c ON c.scope_id = s.session_id
  JOIN agent a ON a.agent_id = s.a_id
  JOIN agent b ON b.agent_id = s.b_id
  LEFT JOIN sender x ON x.session_id = s.session_id AND x.sender_id = s.a_id
  LEFT JOIN sender y ON y.session_id = s.session_id AND y.sender_id = s.b_id;
CREATE VIEW v_groups AS         -- one row per group; its title is known to members only
SELECT lower(substr(hex(c.id), 1, 8))                                   AS group8,
       CASE WHEN g.state = 2 THEN 'closed' WHEN g.stale THEN 'stale' ELSE 'open' END AS state,
       o.name                                                           AS owner,
       g.epoch,
       (SELECT count(*) FROM member m WHERE m.group_id = g.group_id AND m.state = 2) AS members,
       (SELECT count(*) FROM member m WHERE m.group_id = g.group_id AND m.state = 1) AS invited,
       s.frames, s.bytes,
       printf('%.1f KiB', s.bytes / 1024.0)                             AS size,
       (SELECT a.name FROM cursor k JOIN agent a ON a.agent_id = k.reader_id
         WHERE k.stream_id = s.stream_id ORDER BY k.position LIMIT 1)   AS slowest,
       (SELECT unixepoch() - f.stored_ms / 1000 FROM frame f
         WHERE f.stream_id = s.stream_id ORDER BY f.position LIMIT 1)   AS oldest_s,
       c.next_event                                                     AS events
  FROM grp g
  JOIN scope c ON c.scope_id = g.group_id
  JOIN agent o ON o.agent_id = g.owner_id
  LEFT JOIN stream s ON s.group_id = g.group_id;
CREATE VIEW v_members AS        -- one row per member of a group, and how far it has read
SELECT lower(substr(hex(c.id), 1, 8))                                   AS group8,
       a.name,
       CASE m.role WHEN 1 THEN 'member' WHEN 2 THEN 'admin' ELSE 'owner' END AS role,
       iif(m.state = 1, 'invited', 'joined')                            AS state,
       strftime('%Y-%m-%dT%H:%M:%SZ', m.since_ms / 1000, 'unixepoch')   AS since_utc,
       (SELECT count(*) FROM frame f WHERE f.stream_id = s.stream_id AND f.position > k.position) AS behind,
       iif(k.acked_ms > 0, unixepoch() - k.acked_ms / 1000, NULL)       AS acked_s
  FROM member m
  JOIN scope c ON c.scope_id = m.group_id
  JOIN agent a ON a.agent_id = m.agent_id
  LEFT JOIN stream s ON s.group_id = m.group_id
  LEFT JOIN cursor k ON k.stream_id = s.stream_id AND k.reader_id = m.agent_id;
CREATE VIEW v_dead AS           -- one row per frame that was given up
SELECT d.dead_id                AS dead,
       strftime('%Y-%m-%dT%H:%M:%SZ', d.at_ms / 1000, 'unixepoch')      AS at_utc,
       unixepoch() - d.at_ms / 1000                                     AS age_s,
       CASE d.reason WHEN 1 THEN 'expired' WHEN 2 THEN 'refused' WHEN 3 THEN 'undecryptable'
                     WHEN 4 THEN 'recipient revoked' WHEN 5 THEN 'session ended' WHEN 6 THEN 'damaged'
                     WHEN 7 THEN 'purged' ELSE 'reader removed' END     AS reason,
       coalesce(a.name, '(broker)')                                     AS "from",
       coalesce(r.name, '#' || lower(substr(hex(c.id), 1, 8)))          AS "to",
       lower(substr(hex(c.id), 1, 8))                                   AS session8,
       d.sender_seq                                                     AS seq,
       d.bytes,
       (d.at_ms - d.stored_ms) / 1000                                   AS waited_s,
       (d.expires_ms - d.stored_ms) / 1000                              AS allowed_s,
       lower(substr(hex(d.digest), 1, 8))                               AS digest8,
       d.detail
  FROM dead d
  LEFT JOIN agent a ON a.agent_id = d.sender_id
  LEFT JOIN agent r ON r.agent_id = d.recipient_id
  LEFT JOIN scope c ON c.scope_id = d.session_id;
CREATE VIEW v_invites AS        -- one row per invite; the key shown is the public half
SELECT i.invite_id              AS invite,
       lower(substr(hex(i.key), 1, 8))                                  AS key8,
       coalesce(i.name, '(any)')                                        AS name,
       i.circles,
       CASE WHEN i.withdrawn_ms IS NOT NULL THEN 'withdrawn'
            WHEN i.denied_ms IS NOT NULL THEN 'denied'
            WHEN i.agent_id IS NOT NULL THEN 'used'
            WHEN i.until_ms / 1000 <= unixepoch() THEN 'expired'
            WHEN i.used_ms IS NOT NULL THEN 'waiting' ELSE 'open' END   AS state,
       strftime('%Y-%m-%dT%H:%M:%SZ', i.created_ms / 1000, 'unixepoch') AS created_utc,
       i.until_ms / 1000 - unixepoch()                                  AS expires_s,
       a.name                                                           AS agent,
       i.note
  FROM invite i LEFT JOIN agent a ON a.agent_id = i.agent_id;
CREATE VIEW v_log AS            -- the controller's list of bindings
SELECT l.idx,
       strftime('%Y-%m-%dT%H:%M:%SZ', l.at_ms / 1000, 'unixepoch')      AS at_utc,
       CASE l.type WHEN 1 THEN 'enrol' WHEN 2 THEN 'card' ELSE 'revoke' END AS type,
       l.name,
       lower(substr(hex(a.id), 1, 8))                                   AS id8,
       lower(substr(hex(l.digest), 1, 8))                               AS digest8
  FROM log l LEFT JOIN agent a ON a.agent_id = l.agent_id;
CREATE VIEW v_audit AS          -- acts and alarms
SELECT audit_id                 AS audit,
       strftime('%Y-%m-%dT%H:%M:%SZ', at_ms / 1000, 'unixepoch')        AS at_utc,
       unixepoch() - at_ms / 1000                                       AS age_s,
       who, act, about, detail
  FROM audit;
CREATE VIEW v_blobs AS          -- large content, complete or in progress
SELECT b.blob_id                AS blob,
       a.name                                                           AS owner,
       b.bytes,
       printf('%.1f MiB', b.bytes / 1048576.0)                          AS size,
       CASE WHEN b.checked THEN 'complete' ELSE printf('%d %%', b.have * 100 / max(b.chunks, 1)) END AS state,
       unixepoch() - b.created_ms / 1000                                AS age_s,
       b.expires_ms / 1000 - unixepoch()                                AS expires_s
  FROM blob b JOIN agent a ON a.agent_id = b.owner_id;
CREATE VIEW v_rates AS          -- the last day, minute by minute
SELECT strftime('%Y-%m-%dT%H:%MZ', minute * 60, 'unixepoch')            AS minute_utc,
       frames_in, bytes_in, frames_out, bytes_out, expired, refused, commits,
       commit_us_max / 1000.0                                           AS commit_ms_max,
       connected
  FROM minute WHERE minute > unixepoch() / 60 - 1440;
CREATE VIEW v_health AS         -- one row per question; ok is 1, 0, or NULL for mere facts
SELECT 'schema' AS item, (SELECT value FROM meta WHERE key = 'schema') AS value, NULL AS ok, 'number of the last migration' AS meaning
UNION ALL SELECT 'views', (SELECT value FROM meta WHERE key = 'views'), NULL, 'version of the v_* views'
UNION ALL SELECT 'incarnation', (SELECT lower(substr(hex(value), 1, 8)) FROM meta WHERE key = 'incarnation'), NULL,
       'changes when a backup is restored'
UNION ALL SELECT 'starts', (SELECT value FROM meta WHERE key = 'boot'), NULL, 'how often the broker has started'
UNION ALL SELECT 'alive_s', (SELECT unixepoch() - value / 1000 FROM meta WHERE key = 'clock_ms'),
       (SELECT unixepoch() - value / 1000 BETWEEN -5 AND 120 FROM meta WHERE key = 'clock_ms'),
       'seconds since the broker wrote its clock; ok below 120'
UNION ALL SELECT 'file_pct', (SELECT 100 * p.value / max(m.value, 1) FROM meta p, meta m WHERE p.key = 'pages' AND m.key = 'pages_max'),
       (SELECT 100 * p.value < 80 * m.value FROM meta p, meta m WHERE p.key = 'pages' AND m.key = 'pages_max'),
       'size of broker.db, percent of its limit; ok below 80'
UNION ALL SELECT 'free_pct', (SELECT 100 * f.value / max(p.value, 1) FROM meta p, meta f WHERE p.key = 'pages' AND f.key = 'pages_free'),
       NULL, 'part of the file that is free for reuse'
UNION ALL SELECT 'wal_pages', (SELECT value FROM meta WHERE key = 'wal_pages'),
       (SELECT value < 16384 FROM meta WHERE key = 'wal_pages'), 'pages in broker.db-wal; more than 16384: somebody reads for too long'
UNION ALL SELECT 'accepting', (SELECT value FROM meta WHERE key = 'accepting'), (SELECT value FROM meta WHERE key = 'accepting'),
       '0: disk full or file at its limit, SEND is refused'
UNION ALL SELECT 'waiting', (SELECT coalesce(sum(frames), 0) FROM stream), NULL, 'stored frames not yet signed for'
UNION ALL SELECT 'waiting_mib', (SELECT coalesce(sum(bytes), 0) / 1048576 FROM stream), NULL, 'their size'
UNION ALL SELECT 'oldest_s', (SELECT unixepoch() - stored_ms / 1000 FROM frame ORDER BY position LIMIT 1), NULL,
       'age of the oldest stored frame'
UNION ALL SELECT 'dead_24h', (SELECT count(*) FROM dead WHERE at_ms > (unixepoch() - 86400) * 1000), NULL, 'frames given up in a day'
UNION ALL SELECT 'damaged', (SELECT count(*) FROM dead WHERE reason = 6),
       (SELECT count(*) = 0 FROM dead WHERE reason = 6), 'frames found damaged on disk; ok is none'
UNION ALL SELECT 'approvals', (SELECT count(*) FROM v_invites WHERE state = 'waiting'),
       NULL, 'enrolments that wait for you'
UNION ALL SELECT 'backup_s', (SELECT unixepoch() - nullif(value, 0) / 1000 FROM meta WHERE key = 'backup_done_ms'),
       (SELECT unixepoch() - nullif(value, 0) / 1000 < 172800 FROM meta WHERE key = 'backup_done_ms'), 'age of the last backup, empty: none yet; ok below two days'
UNION ALL SELECT 'check_s', (SELECT unixepoch() - nullif(value, 0) / 1000 FROM meta WHERE key = 'check_done_ms'),
       (SELECT unixepoch() - nullif(value, 0) / 1000 < 691200 FROM meta WHERE key = 'check_done_ms'), 'age of the last full check, empty: none yet; ok below eight days';
