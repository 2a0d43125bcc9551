-- Who did what to what, through which way in, and what came of it: every action,
-- not only what people decided beside the gate.
ALTER TABLE audit_events ADD COLUMN id TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN via TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN made TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN outcome TEXT NOT NULL DEFAULT 'done';
ALTER TABLE audit_events ADD COLUMN code TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX audit_events_by_id ON audit_events (id) WHERE id <> '';
CREATE INDEX audit_events_by_subject ON audit_events (subject);
CREATE INDEX audit_events_by_made ON audit_events (made);
