---------------------------------------------------------------------------------------------------
-- Views, version 1.  No plaintext: titles and messages are sealed.
---------------------------------------------------------------------------------------------------

CREATE VIEW v_peers AS
SELECT p.name, lower(substr(hex(p.id), 1, 8)) AS id8,
       CASE p.pin WHEN 0 THEN 'none' WHEN 1 THEN 'first use' WHEN 2 THEN 'verified' WHEN 3 THEN 'CHANGED' ELSE 'blocked' END AS pin,
       p.card_gen, p.revoked_ms IS NOT NULL AS revoked,
       (SELECT count(*) FROM session s WHERE s.peer_id = p.peer_id AND s.state = 3) AS sessions,
       strftime('%Y-%m-%dT%H:%M:%SZ', p.first_seen_ms / 1000, 'unixepoch') AS first_seen_utc
  FROM peer p;

CREATE VIEW v_sessions AS
SELECT lower(substr(hex(c.id), 1, 8)) AS session8, p.name AS peer,
       CASE s.state WHEN 1 THEN 'asked' WHEN 2 THEN 'was asked' WHEN 3 THEN 'active' WHEN 4 THEN 'closed' WHEN 5 THEN 'rejected'
                    WHEN 6 THEN 'expired' WHEN 7 THEN 'rotated' ELSE 'BROKEN' END AS state,
       c.next_seq - 1 AS sent, c.next_seq - 1 - c.receipted_seq AS unsigned, coalesce(r.seq, 0) AS received, s.skipped,
       unixepoch() - s.opened_ms / 1000 AS age_s, s.due_ms / 1000 - unixepoch() AS due_s
  FROM session s JOIN scope c ON c.scope_id = s.session_id JOIN peer p ON p.peer_id = s.peer_id
  LEFT JOIN received r ON r.scope_id = s.session_id AND r.peer_id = s.peer_id;

CREATE VIEW v_outbox AS
SELECT o.outbox_id AS message, coalesce(p.name, '#' || lower(substr(hex(c.id), 1, 8))) AS "to", o.seq,
       CASE o.state WHEN 1 THEN 'queued' WHEN 2 THEN 'sealed' WHEN 3 THEN 'accepted' ELSE 'delivered' END AS state,
       o.bytes, unixepoch() - o.created_ms / 1000 AS age_s,
       o.expires_ms / 1000 - unixepoch() AS expires_s, o.tries
  FROM outbox o LEFT JOIN peer p ON p.peer_id = o.peer_id LEFT JOIN scope c ON c.scope_id = o.group_id;

CREATE VIEW v_inbox AS
SELECT i.inbox_id AS message, p.name AS "from", iif(c.kind = 2, '#' || lower(substr(hex(c.id), 1, 8)), NULL) AS group8,
       i.seq, i.bytes, unixepoch() - i.received_ms / 1000 AS age_s,
       CASE i.state WHEN 0 THEN 'held' WHEN 1 THEN 'new' WHEN 2 THEN 'handed' WHEN 3 THEN 'done' ELSE 'failed' END AS state, i.tries
  FROM inbox i JOIN peer p ON p.peer_id = i.peer_id JOIN scope c ON c.scope_id = i.scope_id;

CREATE VIEW v_dead AS
SELECT d.dead_id AS dead, iif(d.incoming, 'in', 'out') AS way,
       coalesce(p.name, '#' || lower(substr(hex(c.id), 1, 8))) AS peer, d.seq, d.reason, d.detail,
       unixepoch() - d.at_ms / 1000 AS age_s, d.message IS NOT NULL AS can_retry
  FROM dead d LEFT JOIN peer p ON p.peer_id = d.peer_id LEFT JOIN scope c ON c.scope_id = d.group_id;

CREATE VIEW v_groups AS
SELECT lower(substr(hex(c.id), 1, 8)) AS group8,
       CASE g.state WHEN 1 THEN 'invited' WHEN 2 THEN 'joined' WHEN 3 THEN 'left' WHEN 4 THEN 'closed' ELSE 'FORKED' END AS state,
       g.epoch, (SELECT count(*) FROM member m WHERE m.group_id = g.group_id AND m.state = 2) AS members,
       unixepoch() - g.heard_ms / 1000 AS admin_heard_s
  FROM grp g JOIN scope c ON c.scope_id = g.group_id;
