-- Pipelines in depth: what a run was asked for, what each of its steps was made
-- of and came to.

ALTER TABLE pipelines ADD COLUMN config TEXT NOT NULL DEFAULT '';

ALTER TABLE runs ADD COLUMN data TEXT NOT NULL DEFAULT 'null';
ALTER TABLE runs ADD COLUMN resumes TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN from_step TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN no_cache INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN reproduces TEXT NOT NULL DEFAULT '';

ALTER TABLE steps ADD COLUMN parent TEXT NOT NULL DEFAULT '';
ALTER TABLE steps ADD COLUMN params TEXT NOT NULL DEFAULT 'null';
ALTER TABLE steps ADD COLUMN cache_key TEXT NOT NULL DEFAULT '';
ALTER TABLE steps ADD COLUMN ingredients TEXT NOT NULL DEFAULT ''; -- what the key was made of, JSON
ALTER TABLE steps ADD COLUMN result TEXT NOT NULL DEFAULT '{}';
ALTER TABLE steps ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE steps ADD COLUMN source TEXT NOT NULL DEFAULT '';      -- the run whose result it is, when another's
CREATE INDEX steps_by_key ON steps (cache_key) WHERE cache_key <> '';

ALTER TABLE attempts ADD COLUMN fate TEXT NOT NULL DEFAULT '';
