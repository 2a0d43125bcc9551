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
