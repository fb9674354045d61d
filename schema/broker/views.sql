---------------------------------------------------------------------------------------------------
-- Views, version 1.  Text for people, numbers beside it for sorting:  *_utc text, *_s age in seconds,
-- bytes number and size text, *8 the first 8 hex digits of an id.
---------------------------------------------------------------------------------------------------

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

