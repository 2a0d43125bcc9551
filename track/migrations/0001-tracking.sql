-- What training scripts log. Times that clients send are milliseconds since
-- 1970, as MLflow's protocol has them, and kept as they came; "stage" is active
-- or deleted. Nothing here refers to another table by a foreign key: rows of a
-- run go when the run is reclaimed, in one transaction.
--
-- Where a table says WITHOUT ROWID, SQLite keeps its rows in the order of the
-- primary key, as a whole, and not in a second tree beside it.

CREATE TABLE counters (
	name  TEXT PRIMARY KEY,
	value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('experiment', 0), ('run', 0);

CREATE TABLE experiments (
	id                BIGINT PRIMARY KEY,
	name              TEXT NOT NULL UNIQUE,
	artifact_location TEXT NOT NULL,
	stage             TEXT NOT NULL,
	created           BIGINT NOT NULL,
	updated           BIGINT NOT NULL
);

CREATE TABLE experiment_tags (
	experiment BIGINT NOT NULL,
	key        TEXT NOT NULL,
	value      TEXT NOT NULL,
	PRIMARY KEY (experiment, key)
);

-- A run has a number beside its id: everything that belongs to it is found by
-- eight bytes.
CREATE TABLE runs (
	number       BIGINT PRIMARY KEY,
	id           TEXT NOT NULL UNIQUE,
	experiment   BIGINT NOT NULL,
	name         TEXT NOT NULL,
	user_id      TEXT NOT NULL,
	status       TEXT NOT NULL,
	started      BIGINT NOT NULL,
	ended        BIGINT,
	artifact_uri TEXT NOT NULL,
	stage        TEXT NOT NULL,
	deleted      BIGINT -- when, while it is
)/*sqlite  WITHOUT ROWID*/;
CREATE INDEX runs_by_start ON runs (experiment, stage, started DESC, id);
CREATE INDEX runs_deleted ON runs (deleted) WHERE stage = 'deleted';

-- Values may be long, and PostgreSQL refuses long index entries: the indexes
-- hold their beginnings.
CREATE TABLE params (
	run   BIGINT NOT NULL,
	key   TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (run, key)
)/*sqlite  WITHOUT ROWID*/;
CREATE INDEX params_by_value ON params (key, substr(value, 1, 64), run);

CREATE TABLE tags (
	run   BIGINT NOT NULL,
	key   TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (run, key)
)/*sqlite  WITHOUT ROWID*/;
CREATE INDEX tags_by_value ON tags (key, substr(value, 1, 64), run);

-- The last value of each metric, by step, then time, then value. NaN is kept
-- as value 0 with nan 1. While a run is being logged to, its rows are unsettled
-- and not in the index by value, which each new value would move about; which
-- runs those are, unsettled says.
CREATE TABLE latest (
	run     BIGINT NOT NULL,
	key     TEXT NOT NULL,
	step    BIGINT NOT NULL,
	time    BIGINT NOT NULL,
	value   DOUBLE PRECISION NOT NULL,
	nan     INTEGER NOT NULL,
	settled INTEGER NOT NULL,
	PRIMARY KEY (run, key)
)/*sqlite  WITHOUT ROWID*/;
CREATE INDEX latest_by_value ON latest (key, nan, value, run) WHERE settled = 1;

CREATE TABLE unsettled (
	run BIGINT PRIMARY KEY
)/*sqlite  WITHOUT ROWID*/;

-- The points of all metrics. What one request brought is one row of arrived,
-- which is all that logging has to write; folding turns many such rows of a run
-- into one row of points for each of its metrics. A point that was sent twice
-- is a point: reading makes a set of what it finds.
CREATE TABLE arrived (
	run      BIGINT NOT NULL,
	sequence BIGINT NOT NULL,
	data     BYTEA NOT NULL,
	PRIMARY KEY (run, sequence)
)/*sqlite  WITHOUT ROWID*/;

CREATE TABLE points (
	run      BIGINT NOT NULL,
	key      TEXT NOT NULL,
	sequence BIGINT NOT NULL,
	data     BYTEA NOT NULL,
	PRIMARY KEY (run, key, sequence)
)/*sqlite  WITHOUT ROWID*/;

CREATE TABLE datasets (
	id          TEXT PRIMARY KEY,
	experiment  BIGINT NOT NULL,
	name        TEXT NOT NULL,
	digest      TEXT NOT NULL,
	source_type TEXT NOT NULL,
	source      TEXT NOT NULL,
	schema      TEXT NOT NULL,
	profile     TEXT NOT NULL,
	UNIQUE (experiment, name, digest)
);

CREATE TABLE inputs (
	run     BIGINT NOT NULL,
	dataset TEXT NOT NULL,
	tags    TEXT NOT NULL, -- JSON
	context TEXT,          -- the tag mlflow.data.context
	PRIMARY KEY (run, dataset)
);
CREATE INDEX inputs_of_dataset ON inputs (dataset);

-- Models that a run read (direction input) or made (output).
CREATE TABLE run_models (
	run       BIGINT NOT NULL,
	direction TEXT NOT NULL,
	model     TEXT NOT NULL,
	step      BIGINT NOT NULL,
	PRIMARY KEY (run, direction, model, step)
);

CREATE TABLE models (
	id             TEXT PRIMARY KEY,
	experiment     BIGINT NOT NULL,
	name           TEXT NOT NULL,
	artifact_uri   TEXT NOT NULL,
	status         TEXT NOT NULL,
	status_message TEXT NOT NULL,
	model_type     TEXT NOT NULL,
	source_run     TEXT NOT NULL,
	stage          TEXT NOT NULL,
	created        BIGINT NOT NULL,
	updated        BIGINT NOT NULL
);
CREATE INDEX models_by_time ON models (experiment, stage, created DESC, id);

CREATE TABLE model_params (
	model TEXT NOT NULL,
	key   TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (model, key)
);

CREATE TABLE model_tags (
	model TEXT NOT NULL,
	key   TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (model, key)
);

CREATE TABLE model_metrics (
	model          TEXT NOT NULL,
	key            TEXT NOT NULL,
	run            TEXT NOT NULL,
	dataset_name   TEXT NOT NULL,
	dataset_digest TEXT NOT NULL,
	step           BIGINT NOT NULL,
	time           BIGINT NOT NULL,
	value          DOUBLE PRECISION NOT NULL,
	nan            INTEGER NOT NULL,
	PRIMARY KEY (model, key, run, dataset_name, dataset_digest, step, time, value, nan)
);

-- Runs that were made and may be asked for again by a client that never got
-- its answer: a digest of the request, and which server process made it.
CREATE TABLE creations (
	request TEXT PRIMARY KEY,
	run     TEXT NOT NULL,
	process TEXT NOT NULL,
	at      BIGINT NOT NULL
);
CREATE INDEX creations_by_time ON creations (at);
