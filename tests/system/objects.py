"""The objects of docs/cli.md, field by field: every line that a program prints with --json is held against them.

Kinds: s string, i integer, b boolean, t time, f fingerprint, id 32 hex digits, x64 64 hex digits, [k] array,
{...} object, a|b one of these words; a final ? allows null.
"""
import re

CARD = {
    "gen": "i", "description": "s", "methods": "[s]", "schedule": "s", "suites": "[s]", "schema_min": "s",
    "schema_max": "s", "created_at": "t",
}
PROBLEM = {"code": "s", "message": "s", "hint": "s"}
FILE = {"name": "s", "size": "i", "media_type": "s", "sha256": "x64", "path": "s?"}
JOINED = {
    "agent": "s", "profile": "s", "fingerprint": "f", "broker": "s", "broker_name": "s", "root": "f",
    "circles": "[s]", "state": "active|pending|revoked", "certificate_expires_at": "t?",
}
OUTGOING = {
    "id": "id", "to": "s", "to_fingerprint": "f?",
    "state": "queued|stored|delivered|expired|refused|dropped",
    "waits_for": "broker|approval|consent|recipient|epoch?", "reason": "s?", "duplicate": "b", "retry_of": "id?",
    "key": "s", "trace": "s?", "reply_to": "id?", "thread": "id", "media_type": "s", "size": "i", "files": [FILE],
    "attempts": "i", "next_try_at": "t?", "queued_at": "t", "stored_at": "t?", "delivered_at": "t?",
    "expires_at": "t", "recipients": "i", "delivered_to": "i", "warning": "s?",
}
HEADER = {
    "id": "id", "thread": "id", "reply_to": "id?", "from": "s", "from_fingerprint": "f", "group": "s?",
    "trust": "pinned|verified", "first_contact": "b", "sent_at": "t", "stored_at": "t", "received_at": "t",
    "expires_at": "t", "state": "new|handed|done|failed", "again": "b", "media_type": "s", "size": "i",
    "files": [FILE], "key": "s", "trace": "s?", "hops": "i", "wake": "b", "schema": "s", "warning": "s?",
    "session": "id", "seq": "i", "digest": "x64", "tries": "i",
}
BODY = {"body": "s?", "body_b64": "s?"}
MEMBER = {"name": "s?", "fingerprint": "f", "role": "member|admin|owner", "state": "invited|joined"}
STEP = {"state": "s", "at": "t", "by": "agent|broker|recipient", "note": "s?"}
TRACE = {
    "direction": "in|out", "session": "id?", "seq": "i?", "digest": "x64?", "position": "i?", "peer_seen_at": "t?",
    "steps": [STEP],
}
BROKER_STATUS = {
    "name": "s", "version": "s", "pid": "i", "uptime_ms": "i", "endpoints": "[s]", "public": "s?", "root": "f",
    "state": "running|draining|stopping|disk_low", "agents": "i", "online": "i", "pending": "i", "invites": "i",
    "frames": "i", "bytes": "i", "oldest_ms": "i?", "accepted_total": "i", "delivered_total": "i",
    "expired_total": "i", "refused_total": "i", "db_bytes": "i", "wal_bytes": "i", "disk_free_bytes": "i",
    "commit_p99_us": "i", "log_index": "i", "problems": [PROBLEM],
}

OBJECTS = {
    "joined": JOINED,
    "agent_self": {**JOINED, "aid": "x64", "card": {**CARD, "?": True}, "dir": "s"},
    "setting": {"key": "s", "value": "s", "default": "s", "source": "flag|env|file|default", "needs_restart": "b"},
    "outgoing": OUTGOING,
    "message": {**HEADER, **BODY},
    "header": HEADER,
    "acked": {"id": "id", "state": "new|done|failed"},
    "peer": {
        "name": "s", "fingerprint": "f", "aid": "x64", "circles": "[s]",
        "trust": "new|pinned|verified|changed|blocked|revoked", "online": "b?", "seen_at": "t?", "session": "id?",
        "unread": "i", "outgoing": "i", "card": {**CARD, "?": True}, "certificate_expires_at": "t?",
    },
    "session": {
        "id": "id", "peer": "s", "fingerprint": "f",
        "state": "asked|was_asked|active|closed|rejected|expired|rotated|broken", "mode": "mailbox|live", "suite": "s",
        "sent_seq": "i", "received_seq": "i", "skipped_keys": "i", "opened_at": "t", "last_at": "t?",
        "expires_at": "t?", "reason": "s?",
    },
    "request": {
        "direction": "in|out", "peer": "s", "fingerprint": "f", "circles": "[s]", "mode": "mailbox|live|group", "size": "i",
        "text": "s?", "inviter": "s?", "session": "id", "made_at": "t", "expires_at": "t",
        "trust": "new|pinned|verified|changed|blocked|revoked",
    },
    "group": {
        "name": "s", "id": "id", "state": "invited|joined|stale|left|closed|forked", "role": "member|admin|owner",
        "epoch": "i", "members": [MEMBER], "head": "x64", "strict": "b", "keyed": "b", "silent": "b", "pending": "i",
        "keys_waiting": "i", "changed_at": "t",
    },
    "log_entry": {
        "index": "i", "at": "t", "event": "enrolled|card|revoked", "agent": "s?", "fingerprint": "f?",
        "circles": "[s]", "gen": "i?", "head": "x64",
    },
    "alarm": {"code": "s", "peer": "s?", "message": "s", "hint": "s"},
    "receipt": {"id": "id", "to": "s", "state": "queued|stored|delivered|expired|refused|dropped", "at": "t"},
    "link": {"state": "up|down", "broker": "s", "reason": "s?"},
    "check": {
        "name": "reach|broker_key|clock|permissions|store|prekeys|certificate|log|groups|round_trip",
        "result": "ok|warn|fail", "detail": "s", "hint": "s?",
    },
    "left": {"agent": "s", "erased": "b"},
    "status": {
        "agent": "s", "fingerprint": "f", "broker": "s", "connected": "b", "rtt_ms": "i?", "clock_skew_ms": "i?",
        "certificate_expires_at": "t?", "unread": "i", "held": "i", "queued": "i", "stored": "i", "oldest_ms": "i?",
        "dead": "i", "sessions": "i", "prekeys": "i?", "log_index": "i",
        "owner": {"pid": "i", "command": "s", "?": True}, "problems": [PROBLEM],
    },
    "error": {
        "code": "s", "exit": "i", "message": "s", "hint": "s?", "peer": "s?", "id": "id?", "wire": "s?",
        "retry_ms": "i?",
    },
    "version": {"program": "s", "version": "s", "protocol": "s", "libraries": {"*": "s"}},
    "command": {
        "program": "s", "name": "s", "stage": "s", "summary": "s", "synopsis": "s", "impact": "ro|rw|danger",
        "blocks": "b", "args": [{"name": "s", "required": "b", "repeat": "b"}],
        "flags": [{"long": "s", "short": "s?", "arg": "s?", "default": "s?", "repeat": "b", "help": "s"}],
        "emits": "[s]", "exits": "[i]", "examples": "[s]",
    },
    "invite": {
        "number": "i", "key8": "s", "url": "s?", "name": "s?", "circles": "[s]", "approve": "b",
        "state": "open|waiting|used|expired|denied|withdrawn", "note": "s", "made_at": "t", "expires_at": "t",
        "used_by": "s?",
    },
    "broker_status": BROKER_STATUS,
    "agent": {
        "name": "s", "fingerprint": "f", "aid": "x64", "state": "active|pending|revoked", "circles": "[s]",
        "online": "b", "connections": "i", "seen_at": "t?", "enrolled_at": "t?", "gen": "i",
        "certificate_expires_at": "t?", "frames": "i", "bytes": "i", "oldest_ms": "i?", "quota_frames": "i",
        "quota_bytes": "i", "prekeys": "i",
    },
    "queue": {
        "kind": "mailbox|channel", "name": "s", "frames": "i", "bytes": "i", "oldest_ms": "i?", "oldest_at": "t?",
        "in_flight": "i", "readers": "i", "online": "i", "first_position": "i?", "last_position": "i?",
    },
    "frame": {
        "position": "i", "kind": "request|accept|data|group|receipt|event|notice", "state": "waiting|tombstone",
        "from": "s?", "to": "s", "session": "id?", "seq": "i?", "size": "i", "digest": "x64", "stored_at": "t",
        "expires_at": "t", "tries": "i",
    },
    "initialised": {"name": "s", "dir": "s", "config": "s", "root": "f", "endpoint": "s", "public": "s?"},
    "problem": {"file": "s", "line": "i?", "key": "s?", "code": "s", "message": "s", "hint": "s?"},
    "checked": {"file": "s", "keys": "i"},
}

PATTERNS = {
    "t": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
    "f": re.compile(r"([a-z2-7]{4}-){7}[a-z2-7]{4}"),
    "id": re.compile(r"[0-9a-f]{32}"),
    "x64": re.compile(r"[0-9a-f]{64}"),
}


def fits(kind, value):
    """Does the value have this kind?"""
    if isinstance(kind, list):
        return isinstance(value, list) and all(fits(kind[0], v) for v in value)
    if isinstance(kind, dict):
        if value is None:
            return "?" in kind
        if not isinstance(value, dict):
            return False
        if "*" in kind:
            return all(fits(kind["*"], v) for v in value.values())
        return all(k in value and fits(v, value[k]) for k, v in kind.items() if k != "?")
    if kind.endswith("?"):
        return value is None or fits(kind[:-1], value)
    if kind.startswith("["):
        return isinstance(value, list) and all(fits(kind[1:-1], v) for v in value)
    if kind == "s":
        return isinstance(value, str)
    if kind == "i":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "b":
        return isinstance(value, bool)
    if kind in PATTERNS:
        return isinstance(value, str) and PATTERNS[kind].fullmatch(value) is not None
    return value in kind.split("|")


def fields_of(obj):
    if obj["type"] == "trace":
        return {**OUTGOING, **TRACE, "missing": "[s]"} if obj.get("direction") == "out" else {**HEADER, **TRACE}
    return OBJECTS.get(obj["type"])


def check(obj, line):
    """Raises with the field that is missing or of another kind."""
    assert line.startswith('{"v":1,"type":"'), f"does not begin with v and type: {line[:80]}"
    fields = fields_of(obj)
    assert fields is not None, f"unknown object {obj['type']}: {line[:80]}"
    for field, kind in fields.items():
        assert field in obj, f"{obj['type']}: {field} is missing in {line[:300]}"
        assert fits(kind, obj[field]), f"{obj['type']}: {field} is {obj[field]!r}, not {kind}"
    if "body" in obj or "body_b64" in obj:
        assert (obj["body"] is None) != (obj["body_b64"] is None), "exactly one of body and body_b64"
