-- What the copies of a deployment have really used, beside what they held: for
-- how many copy seconds it was seen, the most memory that one copy had, and
-- what was asked for each copy when it was looked at last.
ALTER TABLE deployment_usage ADD COLUMN used_seconds DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE deployment_usage ADD COLUMN used_cpu DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE deployment_usage ADD COLUMN used_peak BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deployment_usage ADD COLUMN held_cpu DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE deployment_usage ADD COLUMN held_memory BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deployment_usage ADD COLUMN held_gpu BIGINT NOT NULL DEFAULT 0;
