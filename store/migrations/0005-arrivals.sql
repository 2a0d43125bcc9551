-- What arrives at datasets, what became of it, and which version is in use.

ALTER TABLE dataset_versions ADD COLUMN files BIGINT NOT NULL DEFAULT 0;
ALTER TABLE dataset_versions ADD COLUMN manifest TEXT NOT NULL DEFAULT '';
ALTER TABLE dataset_versions ADD COLUMN profile TEXT NOT NULL DEFAULT '';

ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT '';

CREATE TABLE datasets (
	project         TEXT NOT NULL REFERENCES projects (name),
	name            TEXT NOT NULL,
	current_version BIGINT NOT NULL DEFAULT 0, -- that of the last accepted arrival
	looked          BIGINT NOT NULL DEFAULT 0,
	problem         TEXT NOT NULL DEFAULT '',
	PRIMARY KEY (project, name)
);

CREATE TABLE arrivals (
	id          TEXT PRIMARY KEY,
	project     TEXT NOT NULL,
	dataset     TEXT NOT NULL,
	source      TEXT NOT NULL,
	origin      TEXT NOT NULL,
	address     TEXT NOT NULL,
	status      TEXT NOT NULL,
	digest      TEXT NOT NULL,
	size        BIGINT NOT NULL,
	length      BIGINT NOT NULL, -- in rows
	files       BIGINT NOT NULL,
	columns     TEXT NOT NULL,
	manifest    TEXT NOT NULL,
	profile     TEXT NOT NULL,
	version     BIGINT NOT NULL DEFAULT 0,
	fingerprint TEXT NOT NULL,
	rules       TEXT NOT NULL,
	listing     TEXT NOT NULL,
	findings    TEXT NOT NULL DEFAULT '',
	reason      TEXT NOT NULL DEFAULT '',
	released    TEXT NOT NULL DEFAULT 'null',
	cause       TEXT NOT NULL,
	caller      TEXT NOT NULL,
	run         TEXT NOT NULL DEFAULT '',
	created     BIGINT NOT NULL,
	ended       BIGINT NOT NULL DEFAULT 0,
	FOREIGN KEY (project, dataset) REFERENCES datasets (project, name)
);
CREATE INDEX arrivals_of_dataset ON arrivals (project, dataset, created, id);
CREATE INDEX arrivals_unfinished ON arrivals (created) WHERE status = 'arriving';
