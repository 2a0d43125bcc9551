-- The nouns of the loop. Times are microseconds since 1970 in UTC, 0 for
-- never; truths are 0 and 1; JSON is text. A revision counts the changes of a
-- row; raising it is how a transaction takes the row for itself.

CREATE TABLE projects (
	name     TEXT PRIMARY KEY,
	created  BIGINT NOT NULL,
	revision BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE commits (
	project TEXT NOT NULL REFERENCES projects (name),
	hash    TEXT NOT NULL,
	tree    TEXT NOT NULL,
	branch  TEXT NOT NULL,
	message TEXT NOT NULL,
	author  TEXT NOT NULL,
	dirty   INTEGER NOT NULL,
	created BIGINT NOT NULL,
	PRIMARY KEY (project, hash, tree)
);

CREATE TABLE builds (
	id               TEXT PRIMARY KEY,
	project          TEXT NOT NULL REFERENCES projects (name),
	hash             TEXT NOT NULL,
	tree             TEXT NOT NULL,
	status           TEXT NOT NULL,
	pipeline         BIGINT NOT NULL DEFAULT 0,
	run              TEXT NOT NULL DEFAULT '',
	reason           TEXT NOT NULL DEFAULT '',
	caller           TEXT NOT NULL,
	cancel_requested INTEGER NOT NULL DEFAULT 0,
	created          BIGINT NOT NULL,
	started          BIGINT NOT NULL DEFAULT 0,
	ended            BIGINT NOT NULL DEFAULT 0,
	revision         BIGINT NOT NULL DEFAULT 0,
	FOREIGN KEY (project, hash, tree) REFERENCES commits (project, hash, tree)
);
CREATE INDEX builds_by_time ON builds (created, id);
CREATE INDEX builds_of_project ON builds (project, created, id);
CREATE INDEX builds_unfinished ON builds (created) WHERE status IN ('queued', 'running', 'waiting');

CREATE TABLE checks (
	build    TEXT NOT NULL REFERENCES builds (id),
	name     TEXT NOT NULL,
	position BIGINT NOT NULL,
	kind     TEXT NOT NULL,
	status   TEXT NOT NULL,
	message  TEXT NOT NULL,
	task     TEXT NOT NULL,
	seconds  DOUBLE PRECISION NOT NULL,
	PRIMARY KEY (build, name)
);

CREATE TABLE pipelines (
	project     TEXT NOT NULL REFERENCES projects (name),
	version     BIGINT NOT NULL,
	build       TEXT NOT NULL UNIQUE REFERENCES builds (id),
	hash        TEXT NOT NULL,
	tree        TEXT NOT NULL,
	environment TEXT NOT NULL,
	lock        TEXT NOT NULL,
	python      TEXT NOT NULL,
	created     BIGINT NOT NULL,
	PRIMARY KEY (project, version),
	FOREIGN KEY (project, hash, tree) REFERENCES commits (project, hash, tree)
);

CREATE TABLE runs (
	id               TEXT PRIMARY KEY,
	project          TEXT NOT NULL REFERENCES projects (name),
	pipeline         BIGINT NOT NULL,
	cause            TEXT NOT NULL,
	caller           TEXT NOT NULL,
	params           TEXT NOT NULL,
	status           TEXT NOT NULL,
	verdict          TEXT NOT NULL DEFAULT '',
	model            TEXT NOT NULL DEFAULT '',
	version          BIGINT NOT NULL DEFAULT 0,
	release_id       TEXT NOT NULL DEFAULT '',
	reason           TEXT NOT NULL DEFAULT '',
	cancel_requested INTEGER NOT NULL DEFAULT 0,
	created          BIGINT NOT NULL,
	started          BIGINT NOT NULL DEFAULT 0,
	ended            BIGINT NOT NULL DEFAULT 0,
	revision         BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX runs_by_time ON runs (created, id);
CREATE INDEX runs_of_project ON runs (project, created, id);
CREATE INDEX runs_unfinished ON runs (created) WHERE status IN ('queued', 'running', 'waiting');

CREATE TABLE steps (
	run      TEXT NOT NULL REFERENCES runs (id),
	name     TEXT NOT NULL,
	position BIGINT NOT NULL,
	status   TEXT NOT NULL,
	cached   INTEGER NOT NULL DEFAULT 0,
	message  TEXT NOT NULL DEFAULT '',
	started  BIGINT NOT NULL DEFAULT 0,
	ended    BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (run, name),
	UNIQUE (run, position)
);

CREATE TABLE attempts (
	run          TEXT NOT NULL,
	step         TEXT NOT NULL,
	number       BIGINT NOT NULL,
	task         TEXT NOT NULL,
	status       TEXT NOT NULL,
	message      TEXT NOT NULL,
	wall_seconds DOUBLE PRECISION NOT NULL,
	cpu_seconds  DOUBLE PRECISION NOT NULL,
	peak_memory  BIGINT NOT NULL,
	started      BIGINT NOT NULL,
	ended        BIGINT NOT NULL,
	PRIMARY KEY (run, step, number),
	FOREIGN KEY (run, step) REFERENCES steps (run, name)
);

CREATE TABLE models (
	name     TEXT PRIMARY KEY,
	project  TEXT NOT NULL REFERENCES projects (name),
	reserved BIGINT NOT NULL DEFAULT 0, -- the highest version number given out
	revision BIGINT NOT NULL DEFAULT 0
);

-- A version number is a run's before the version exists, so that what is made
-- on the way to registration can carry it.
CREATE TABLE model_reservations (
	model   TEXT NOT NULL REFERENCES models (name),
	version BIGINT NOT NULL,
	run     TEXT NOT NULL REFERENCES runs (id),
	PRIMARY KEY (model, version),
	UNIQUE (run, model)
);

CREATE TABLE model_versions (
	model       TEXT NOT NULL,
	version     BIGINT NOT NULL,
	project     TEXT NOT NULL REFERENCES projects (name),
	run         TEXT NOT NULL REFERENCES runs (id),
	pipeline    BIGINT NOT NULL,
	hash        TEXT NOT NULL,
	environment TEXT NOT NULL,
	data        TEXT NOT NULL,
	params      TEXT NOT NULL,
	metrics     TEXT NOT NULL,
	artifact    TEXT NOT NULL,
	size        BIGINT NOT NULL,
	image       TEXT NOT NULL,
	verdict     TEXT NOT NULL,
	report      TEXT NOT NULL,
	champion    INTEGER NOT NULL,
	created     BIGINT NOT NULL,
	PRIMARY KEY (model, version),
	FOREIGN KEY (model, version) REFERENCES model_reservations (model, version)
);
CREATE UNIQUE INDEX model_versions_champion ON model_versions (model) WHERE champion = 1;

CREATE TABLE dataset_versions (
	project TEXT NOT NULL REFERENCES projects (name),
	name    TEXT NOT NULL,
	version BIGINT NOT NULL,
	digest  TEXT NOT NULL,
	size    BIGINT NOT NULL,
	length  BIGINT NOT NULL, -- in rows
	columns TEXT NOT NULL,
	created BIGINT NOT NULL,
	PRIMARY KEY (project, name, version),
	UNIQUE (project, name, digest)
);

CREATE TABLE releases (
	id               TEXT PRIMARY KEY,
	project          TEXT NOT NULL REFERENCES projects (name),
	model            TEXT NOT NULL,
	version          BIGINT NOT NULL,
	status           TEXT NOT NULL,
	cause            TEXT NOT NULL,
	caller           TEXT NOT NULL,
	reason           TEXT NOT NULL DEFAULT '',
	only_environment TEXT NOT NULL,
	cancel_requested INTEGER NOT NULL DEFAULT 0,
	created          BIGINT NOT NULL,
	started          BIGINT NOT NULL DEFAULT 0,
	ended            BIGINT NOT NULL DEFAULT 0,
	revision         BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX releases_by_time ON releases (created, id);
CREATE INDEX releases_of_project ON releases (project, created, id);
CREATE INDEX releases_unfinished ON releases (created) WHERE status IN ('queued', 'running', 'waiting');

CREATE TABLE release_environments (
	release_id TEXT NOT NULL REFERENCES releases (id),
	name       TEXT NOT NULL,
	position   BIGINT NOT NULL,
	status     TEXT NOT NULL,
	image      TEXT NOT NULL,
	deployment TEXT NOT NULL,
	message    TEXT NOT NULL,
	started    BIGINT NOT NULL,
	ended      BIGINT NOT NULL,
	PRIMARY KEY (release_id, name)
);

CREATE TABLE endpoints (
	project              TEXT NOT NULL REFERENCES projects (name),
	environment          TEXT NOT NULL,
	primary_generation   BIGINT NOT NULL DEFAULT 1,
	secondary_generation BIGINT NOT NULL DEFAULT 1,
	live                 TEXT NOT NULL DEFAULT '',
	switches             BIGINT NOT NULL DEFAULT 0, -- how often the live deployment has changed
	revision             BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (project, environment)
);

CREATE TABLE deployments (
	id          TEXT PRIMARY KEY,
	project     TEXT NOT NULL,
	environment TEXT NOT NULL,
	release_id  TEXT NOT NULL,
	model       TEXT NOT NULL,
	version     BIGINT NOT NULL,
	image       TEXT NOT NULL,
	host        TEXT NOT NULL,
	replicas    BIGINT NOT NULL,
	state       TEXT NOT NULL,
	created     BIGINT NOT NULL,
	ended       BIGINT NOT NULL DEFAULT 0,
	switch      BIGINT NOT NULL DEFAULT 0,  -- the endpoint's count when this became live; 0: it never did
	predecessor TEXT NOT NULL DEFAULT '',   -- what was live until then
	FOREIGN KEY (project, environment) REFERENCES endpoints (project, environment)
);
CREATE INDEX deployments_of_endpoint ON deployments (project, environment, switch);

CREATE TABLE tokens (
	id      TEXT PRIMARY KEY,
	name    TEXT NOT NULL,
	role    TEXT NOT NULL,
	hash    TEXT NOT NULL UNIQUE,
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	revoked BIGINT NOT NULL DEFAULT 0,
	revision BIGINT NOT NULL DEFAULT 0
);
