-- What the gate's reports rest on, what people decided beside it, and what all
-- of that spent.

ALTER TABLE runs ADD COLUMN gate_off TEXT NOT NULL DEFAULT '';

ALTER TABLE model_versions ADD COLUMN settings TEXT NOT NULL DEFAULT '';
ALTER TABLE model_versions ADD COLUMN scored TEXT NOT NULL DEFAULT '';
ALTER TABLE model_versions ADD COLUMN trained TEXT NOT NULL DEFAULT '';
ALTER TABLE model_versions ADD COLUMN overrides TEXT NOT NULL DEFAULT 'null';

CREATE TABLE decisions (
	model     TEXT NOT NULL,
	position  BIGINT NOT NULL, -- from 1, in the order they were taken
	version   BIGINT NOT NULL,
	run       TEXT NOT NULL,
	at        BIGINT NOT NULL,
	holdout   TEXT NOT NULL,
	length    BIGINT NOT NULL, -- in rows
	fresh     DOUBLE PRECISION NOT NULL,
	life      BIGINT NOT NULL,
	alpha     DOUBLE PRECISION NOT NULL,
	verdict   TEXT NOT NULL,
	overridden TEXT NOT NULL, -- null, or the override
	PRIMARY KEY (model, position),
	FOREIGN KEY (model, version) REFERENCES model_versions (model, version)
);

CREATE TABLE audit_events (
	at      BIGINT NOT NULL,
	who     TEXT NOT NULL,
	action  TEXT NOT NULL,
	subject TEXT NOT NULL,
	reason  TEXT NOT NULL
);
CREATE INDEX audit_events_by_time ON audit_events (at);
