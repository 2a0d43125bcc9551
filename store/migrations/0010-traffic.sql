-- Several deployments of one endpoint, with a share of its requests each.

-- Percent of the endpoint's requests. Only live ones have any.
ALTER TABLE deployments ADD COLUMN weight BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN mirror BIGINT NOT NULL DEFAULT 0;
-- What took its place.
ALTER TABLE deployments ADD COLUMN successor TEXT NOT NULL DEFAULT '';
-- Bounds of the requests: 0 for none. The time is in microseconds.
ALTER TABLE deployments ADD COLUMN concurrent BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN timeout BIGINT NOT NULL DEFAULT 0;

UPDATE deployments SET weight = 100 WHERE state = 'live';
UPDATE deployments SET successor = COALESCE((SELECT MAX(n.id) FROM deployments n WHERE n.predecessor = deployments.id), '') WHERE state = 'retired';
ALTER TABLE deployments DROP COLUMN predecessor;

-- Released beside what is live, which stays so.
ALTER TABLE releases ADD COLUMN beside INTEGER NOT NULL DEFAULT 0;
