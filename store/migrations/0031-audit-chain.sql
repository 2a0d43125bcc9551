-- Each event of the audit trail is chained to what was written before it, so
-- that a change or removal by hand is found. Events have names from here on, all
-- of them, and say how often the same has happened.
INSERT INTO audit_events (id, at, who, via, address, action, subject, made, reason, outcome, code)
	SELECT 'x-before-' || row_number() OVER (ORDER BY at, who, action, subject, reason), at, who, via, address, action, subject, made, reason, outcome, code
	FROM audit_events WHERE id = '';
DELETE FROM audit_events WHERE id = '';
ALTER TABLE audit_events ADD COLUMN times BIGINT NOT NULL DEFAULT 1;
ALTER TABLE audit_events ADD COLUMN linked BIGINT NOT NULL DEFAULT 0; -- 0: a program wrote it that knew of no chain
CREATE INDEX audit_events_unlinked ON audit_events (at, id) WHERE linked = 0;

CREATE TABLE audit_links (
	position BIGINT PRIMARY KEY, -- from 1, without a gap
	event    TEXT NOT NULL,
	joined   BIGINT NOT NULL, -- 1: the event was there before its link was made
	content  TEXT NOT NULL, -- sha256 of the event as it then was
	hash     TEXT NOT NULL -- sha256 over the link before and this one
);
CREATE INDEX audit_links_by_event ON audit_links (event);

-- The end of the chain. Its one row is the lock under which the next link is made.
CREATE TABLE audit_head (
	position BIGINT NOT NULL,
	hash     TEXT NOT NULL
);
INSERT INTO audit_head (position, hash) VALUES (0, '');
