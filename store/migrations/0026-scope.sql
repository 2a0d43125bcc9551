-- The only project that a token opens; empty: every one.
ALTER TABLE tokens ADD COLUMN project TEXT NOT NULL DEFAULT '';
