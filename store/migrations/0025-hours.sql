-- Deployments that keep their copies within hours of the week.

-- Those hours, in words; '': none.
ALTER TABLE deployments ADD COLUMN hours TEXT NOT NULL DEFAULT '';
