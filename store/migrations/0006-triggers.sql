-- What happened, whom it is told to, and what starts runs.

CREATE TABLE events (
	id      TEXT PRIMARY KEY,
	seq     BIGINT NOT NULL DEFAULT 0, -- its place in the feed; 0 until it was passed on
	type    TEXT NOT NULL,
	project TEXT NOT NULL,
	subject TEXT NOT NULL,
	data    TEXT NOT NULL,
	at      BIGINT NOT NULL
);
CREATE UNIQUE INDEX events_in_order ON events (seq) WHERE seq > 0;
CREATE INDEX events_new ON events (at, id) WHERE seq = 0;

CREATE TABLE subscriptions (
	id      TEXT PRIMARY KEY,
	url     TEXT NOT NULL,
	project TEXT NOT NULL,
	types   TEXT NOT NULL,
	secret  TEXT NOT NULL, -- sealed
	caller  TEXT NOT NULL,
	created BIGINT NOT NULL
);

CREATE TABLE deliveries (
	id       TEXT PRIMARY KEY,
	kind     TEXT NOT NULL,
	target   TEXT NOT NULL,
	body     TEXT NOT NULL,
	event    TEXT NOT NULL,
	seq      BIGINT NOT NULL,
	type     TEXT NOT NULL,
	project  TEXT NOT NULL,
	subject  TEXT NOT NULL,
	state    TEXT NOT NULL,
	attempts BIGINT NOT NULL DEFAULT 0,
	code     BIGINT NOT NULL DEFAULT 0,
	message  TEXT NOT NULL DEFAULT '',
	next     BIGINT NOT NULL,
	since    BIGINT NOT NULL,
	created  BIGINT NOT NULL,
	ended    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX deliveries_pending ON deliveries (kind, target, next) WHERE state = 'pending';
CREATE INDEX deliveries_of_target ON deliveries (kind, target, created);
CREATE INDEX deliveries_ended ON deliveries (ended) WHERE state <> 'pending';
