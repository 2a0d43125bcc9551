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

CREATE TABLE triggers (
	project  TEXT PRIMARY KEY REFERENCES projects (name),
	pipeline BIGINT NOT NULL DEFAULT 0, -- the version whose schedules are below
	paused   BIGINT NOT NULL DEFAULT 0  -- since when none of them comes due
);

CREATE TABLE schedules (
	project TEXT NOT NULL REFERENCES triggers (project),
	kind    TEXT NOT NULL, -- run or nightly
	cron    TEXT NOT NULL,
	zone    TEXT NOT NULL,
	params  TEXT NOT NULL,
	missed  TEXT NOT NULL,
	due     BIGINT NOT NULL,
	last    BIGINT NOT NULL DEFAULT 0, -- the due time that was dealt with last
	started TEXT NOT NULL DEFAULT '',  -- what it started
	reason  TEXT NOT NULL DEFAULT '',  -- why it started nothing
	skipped BIGINT NOT NULL DEFAULT 0, -- due times that started nothing
	PRIMARY KEY (project, kind, cron, zone, params)
);
CREATE INDEX schedules_by_due ON schedules (due);

-- Events from outside that a project has dealt with, so that each does it once.
CREATE TABLE accepted_events (
	project TEXT NOT NULL REFERENCES projects (name),
	source  TEXT NOT NULL,
	id      TEXT NOT NULL,
	type    TEXT NOT NULL,
	run     TEXT NOT NULL DEFAULT '',
	reason  TEXT NOT NULL DEFAULT '', -- why it started none
	at      BIGINT NOT NULL,
	PRIMARY KEY (project, source, id)
);
CREATE INDEX accepted_events_by_time ON accepted_events (at);

-- Requests for runs that name a key, so that a repetition finds the first.
CREATE TABLE request_keys (
	project TEXT NOT NULL REFERENCES projects (name),
	caller  TEXT NOT NULL,
	key     TEXT NOT NULL,
	digest  TEXT NOT NULL, -- of what was asked for
	run     TEXT NOT NULL DEFAULT '',
	at      BIGINT NOT NULL,
	PRIMARY KEY (project, caller, key)
);
CREATE INDEX request_keys_by_time ON request_keys (at);
