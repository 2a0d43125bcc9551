-- What deployments took and answered, slot by slot: of 15 seconds for a day, of
-- 5 minutes for a month, of a day for good. Counts are by buckets, as JSON.
CREATE TABLE serving (
	deployment     TEXT NOT NULL,
	span           BIGINT NOT NULL,           -- seconds
	at             BIGINT NOT NULL,           -- when the slot begins, microseconds since 1970
	copy_seconds   DOUBLE PRECISION NOT NULL, -- ready copies, times seconds
	cpu_seconds    DOUBLE PRECISION NOT NULL,
	memory_seconds DOUBLE PRECISION NOT NULL, -- bytes times seconds
	gpu_seconds    DOUBLE PRECISION NOT NULL,
	succeeded      BIGINT NOT NULL,
	failed         BIGINT NOT NULL,
	latency        TEXT NOT NULL DEFAULT '[]', -- as the gateway saw it
	model          TEXT NOT NULL DEFAULT '[]', -- time in the model
	batch          TEXT NOT NULL DEFAULT '[]', -- rows answered together
	PRIMARY KEY (deployment, span, at)
);
CREATE INDEX serving_by_age ON serving (span, at);

-- The parameters and metrics of runs that have ended, as rows that an index
-- puts in order. They are written by a sweep: valued says for which runs it is
-- done.
CREATE TABLE run_values (
	run     TEXT NOT NULL,
	project TEXT NOT NULL,
	name    TEXT NOT NULL,             -- p.NAME or m.NAME
	number  DOUBLE PRECISION NOT NULL, -- 1e308 of what is no number, so that words come after numbers
	text    TEXT NOT NULL,
	PRIMARY KEY (run, name)
);
CREATE INDEX run_values_in_order ON run_values (name, number, text, run);
CREATE INDEX run_values_of_project ON run_values (project, name, number, text, run);
ALTER TABLE runs ADD COLUMN valued INTEGER NOT NULL DEFAULT 0;
CREATE INDEX runs_unvalued ON runs (id) WHERE valued = 0;

-- What the runs that were created on a day took, added up when they end.
CREATE TABLE spending (
	project        TEXT NOT NULL,
	day            BIGINT NOT NULL,           -- when it begins in UTC, microseconds since 1970
	pool           TEXT NOT NULL,
	spot           INTEGER NOT NULL,
	cpu_seconds    DOUBLE PRECISION NOT NULL,
	memory_seconds DOUBLE PRECISION NOT NULL, -- bytes times seconds
	gpu_seconds    DOUBLE PRECISION NOT NULL,
	PRIMARY KEY (project, day, pool, spot)
);
