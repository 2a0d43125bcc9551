-- Sessions of browsers, and the links that start them. Each stands for a token,
-- known by its hash: the admin token, which is in no table, or one of tokens.
CREATE TABLE sessions (
	hash       TEXT PRIMARY KEY,
	credential TEXT NOT NULL,
	once       INTEGER NOT NULL,
	created    BIGINT NOT NULL,
	expires    BIGINT NOT NULL,
	ended      BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX sessions_by_expiry ON sessions (expires);
