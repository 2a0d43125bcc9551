-- Deployments that nobody asks give up their copies until somebody does.

-- How long nobody may have asked, in microseconds; 0: they stay.
ALTER TABLE deployments ADD COLUMN idle BIGINT NOT NULL DEFAULT 0;
-- When somebody asked last, give or take a part of that.
ALTER TABLE deployments ADD COLUMN asked BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN asleep INTEGER NOT NULL DEFAULT 0;
