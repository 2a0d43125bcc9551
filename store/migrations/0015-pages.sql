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

-- What a release has looked at in an environment, with what it found: the
-- evidence beside the status.
CREATE TABLE release_checks (
	release_id  TEXT NOT NULL REFERENCES releases (id),
	environment TEXT NOT NULL,
	name        TEXT NOT NULL,
	position    BIGINT NOT NULL,
	status      TEXT NOT NULL,
	message     TEXT NOT NULL,
	started     BIGINT NOT NULL,
	ended       BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (release_id, environment, name)
);
