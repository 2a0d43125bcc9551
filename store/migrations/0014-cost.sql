-- Where an attempt computed and what was set aside for it: what it costs
-- follows from that and the prices of the server's configuration.
ALTER TABLE attempts ADD COLUMN pool TEXT NOT NULL DEFAULT 'local';
ALTER TABLE attempts ADD COLUMN spot INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN held_cpu DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN held_memory BIGINT NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN held_gpu BIGINT NOT NULL DEFAULT 0;

-- What a deployment has used and answered, added up as it goes. Times are of
-- what was set aside for its copies, or used where nothing was.
CREATE TABLE deployment_usage (
	deployment     TEXT NOT NULL PRIMARY KEY,
	copy_seconds   DOUBLE PRECISION NOT NULL, -- ready copies, times seconds
	cpu_seconds    DOUBLE PRECISION NOT NULL,
	memory_seconds DOUBLE PRECISION NOT NULL, -- bytes times seconds
	gpu_seconds    DOUBLE PRECISION NOT NULL,
	requests       BIGINT NOT NULL,
	updated        BIGINT NOT NULL            -- microseconds since 1970
);
