-- One registry of models: those that pipelines make, and those that people
-- register by hand, which have no project or run until they are judged. What is
-- NULL of a model or a version was NOT NULL before, so the tables are made anew,
-- and take the places of the old ones.

CREATE TABLE models_new (
	name        TEXT PRIMARY KEY,
	project     TEXT REFERENCES projects (name), -- whose gate it is for; NULL: nobody's
	reserved    BIGINT NOT NULL DEFAULT 0,       -- the highest version number given out
	description TEXT NOT NULL DEFAULT '',
	created     BIGINT NOT NULL DEFAULT 0,
	updated     BIGINT NOT NULL DEFAULT 0,
	deleted     BIGINT NOT NULL DEFAULT 0,       -- its numbers are not given out again
	revision    BIGINT NOT NULL DEFAULT 0
);
INSERT INTO models_new (name, project, reserved, created, updated, revision)
	SELECT m.name, m.project, m.reserved, COALESCE(MIN(v.created), 0), COALESCE(MAX(v.created), 0), m.revision
	FROM models m LEFT JOIN model_versions v ON v.model = m.name GROUP BY m.name, m.project, m.reserved, m.revision;

CREATE TABLE model_reservations_new (
	model   TEXT NOT NULL REFERENCES models_new (name) ON UPDATE CASCADE,
	version BIGINT NOT NULL,
	run     TEXT REFERENCES runs (id), -- NULL: nobody's, it was registered by hand
	PRIMARY KEY (model, version),
	UNIQUE (run, model)
);
INSERT INTO model_reservations_new (model, version, run) SELECT model, version, run FROM model_reservations;

CREATE TABLE model_versions_new (
	model        TEXT NOT NULL,
	version      BIGINT NOT NULL,
	source       TEXT NOT NULL DEFAULT 'pipeline', -- or manual
	project      TEXT REFERENCES projects (name),
	run          TEXT REFERENCES runs (id), -- that made it, or that judged it
	pipeline     BIGINT NOT NULL,
	hash         TEXT NOT NULL,
	environment  TEXT NOT NULL,
	data         TEXT NOT NULL,
	params       TEXT NOT NULL,
	metrics      TEXT NOT NULL,
	artifact     TEXT NOT NULL,
	size         BIGINT NOT NULL,
	image        TEXT NOT NULL,
	verdict      TEXT NOT NULL,
	report       TEXT NOT NULL,
	settings     TEXT NOT NULL DEFAULT '',
	scored       TEXT NOT NULL DEFAULT '',
	trained      TEXT NOT NULL DEFAULT '',
	overrides    TEXT NOT NULL DEFAULT 'null',
	framework    TEXT NOT NULL DEFAULT '',
	signature    TEXT NOT NULL DEFAULT '',
	champion     INTEGER NOT NULL,
	created      BIGINT NOT NULL,
	lock         TEXT NOT NULL DEFAULT '', -- of a manual one's environment, once it was judged
	python       TEXT NOT NULL DEFAULT '',
	caller       TEXT NOT NULL DEFAULT '', -- who registered it by hand
	uri          TEXT NOT NULL DEFAULT '', -- where its registrar says that its folder is
	folder       TEXT NOT NULL DEFAULT '', -- where its files are kept among the artifacts
	tracking_run TEXT NOT NULL DEFAULT '',
	run_link     TEXT NOT NULL DEFAULT '',
	logged_model TEXT NOT NULL DEFAULT '',
	description  TEXT NOT NULL DEFAULT '',
	stage        TEXT NOT NULL DEFAULT '', -- MLflow's, a label; empty: none
	updated      BIGINT NOT NULL DEFAULT 0,
	deleted      BIGINT NOT NULL DEFAULT 0,
	request      TEXT NOT NULL DEFAULT '', -- digest of what it was asked for with, until the answer has been sent
	process      TEXT NOT NULL DEFAULT '', -- of the server that sends it
	PRIMARY KEY (model, version),
	FOREIGN KEY (model, version) REFERENCES model_reservations_new (model, version) ON UPDATE CASCADE
);
INSERT INTO model_versions_new (model, version, project, run, pipeline, hash, environment, data, params, metrics, artifact, size, image,
		verdict, report, settings, scored, trained, overrides, framework, signature, champion, created, updated)
	SELECT model, version, project, run, pipeline, hash, environment, data, params, metrics, artifact, size, image,
		verdict, report, settings, scored, trained, overrides, framework, signature, champion, created, created FROM model_versions;

CREATE TABLE decisions_new (
	model      TEXT NOT NULL,
	position   BIGINT NOT NULL, -- from 1, in the order they were taken
	version    BIGINT NOT NULL,
	run        TEXT NOT NULL,
	at         BIGINT NOT NULL,
	holdout    TEXT NOT NULL,
	length     BIGINT NOT NULL, -- in rows
	fresh      DOUBLE PRECISION NOT NULL,
	life       BIGINT NOT NULL,
	alpha      DOUBLE PRECISION NOT NULL,
	verdict    TEXT NOT NULL,
	overridden TEXT NOT NULL, -- null, or the override
	PRIMARY KEY (model, position),
	FOREIGN KEY (model, version) REFERENCES model_versions_new (model, version) ON UPDATE CASCADE
);
INSERT INTO decisions_new (model, position, version, run, at, holdout, length, fresh, life, alpha, verdict, overridden)
	SELECT model, position, version, run, at, holdout, length, fresh, life, alpha, verdict, overridden FROM decisions;

DROP TABLE decisions;
DROP TABLE model_versions;
DROP TABLE model_reservations;
DROP TABLE models;
ALTER TABLE models_new RENAME TO models;
ALTER TABLE model_reservations_new RENAME TO model_reservations;
ALTER TABLE model_versions_new RENAME TO model_versions;
ALTER TABLE decisions_new RENAME TO decisions;
CREATE UNIQUE INDEX model_versions_champion ON model_versions (model) WHERE champion = 1;
CREATE INDEX model_versions_by_change ON model_versions (updated, model, version);

CREATE TABLE model_tags (
	model TEXT NOT NULL REFERENCES models (name) ON UPDATE CASCADE,
	key   TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (model, key)
);

CREATE TABLE model_version_tags (
	model   TEXT NOT NULL,
	version BIGINT NOT NULL,
	key     TEXT NOT NULL,
	value   TEXT NOT NULL,
	PRIMARY KEY (model, version, key),
	FOREIGN KEY (model, version) REFERENCES model_versions (model, version) ON UPDATE CASCADE
);

CREATE TABLE model_aliases (
	model   TEXT NOT NULL,
	alias   TEXT NOT NULL,
	version BIGINT NOT NULL,
	PRIMARY KEY (model, alias),
	FOREIGN KEY (model, version) REFERENCES model_versions (model, version) ON UPDATE CASCADE
);

-- The version that a run has to judge, as MODEL:VERSION; empty for one that
-- trains its own.
ALTER TABLE runs ADD COLUMN judges TEXT NOT NULL DEFAULT '';
