-- Deployments whose copies follow the requests under way.

-- How many copies they ask for; 0: nobody has looked yet.
ALTER TABLE deployments ADD COLUMN scaled INTEGER NOT NULL DEFAULT 0;
