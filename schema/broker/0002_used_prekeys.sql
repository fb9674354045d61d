-- A one-time prekey that was used is remembered, so that an upload said twice does not bring it back.

CREATE TABLE opk_used (                         -- one-time prekeys that a request has taken, for 38 days
    agent_id        INTEGER NOT NULL REFERENCES agent,
    opk_id          INTEGER NOT NULL,
    key             BLOB    NOT NULL CHECK (length(key) = 32),
    used_ms         INTEGER NOT NULL,
    PRIMARY KEY (agent_id, opk_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX opk_used_age ON opk_used (used_ms);
