-- How code arrives beside ridgeline push: by the server's own git remote, and
-- by the webhooks of forges.

-- Where each branch of a project's repository stood when it was last looked
-- at. A branch that stands elsewhere was pushed and is not built yet.
CREATE TABLE branches (
	project TEXT NOT NULL REFERENCES projects (name),
	name    TEXT NOT NULL,
	hash    TEXT NOT NULL,
	build   TEXT NOT NULL DEFAULT '',
	note    TEXT NOT NULL DEFAULT '',
	updated BIGINT NOT NULL,
	PRIMARY KEY (project, name)
);

-- Repositories elsewhere. secret, token and deploy_key are sealed.
CREATE TABLE remotes (
	project     TEXT NOT NULL REFERENCES projects (name),
	name        TEXT NOT NULL,
	forge       TEXT NOT NULL,
	url         TEXT NOT NULL,
	api         TEXT NOT NULL DEFAULT '',
	username    TEXT NOT NULL DEFAULT '',
	secret      TEXT NOT NULL,
	token       TEXT NOT NULL DEFAULT '',
	deploy_key  TEXT NOT NULL DEFAULT '',
	known_hosts TEXT NOT NULL DEFAULT '',
	forks       INTEGER NOT NULL DEFAULT 0,
	caller      TEXT NOT NULL,
	created     BIGINT NOT NULL,
	PRIMARY KEY (project, name)
);

-- What was delivered by webhook, so that nothing is taken twice.
CREATE TABLE hook_deliveries (
	project TEXT NOT NULL,
	remote  TEXT NOT NULL,
	digest  TEXT NOT NULL, -- of what the forge vouches for
	id      TEXT NOT NULL, -- the forge's own
	at      BIGINT NOT NULL,
	PRIMARY KEY (project, remote, digest)
);

-- What is to be fetched and built because of a delivery.
CREATE TABLE notices (
	id           TEXT PRIMARY KEY,
	project      TEXT NOT NULL REFERENCES projects (name),
	remote       TEXT NOT NULL,
	digest       TEXT NOT NULL,
	event        TEXT NOT NULL,
	branch       TEXT NOT NULL,
	pull_request TEXT NOT NULL DEFAULT '',
	ref          TEXT NOT NULL,
	hash         TEXT NOT NULL,
	repository   TEXT NOT NULL DEFAULT '',
	status       TEXT NOT NULL,
	reason       TEXT NOT NULL DEFAULT '',
	attempts     BIGINT NOT NULL DEFAULT 0,
	next         BIGINT NOT NULL,
	build        TEXT NOT NULL DEFAULT '',
	created      BIGINT NOT NULL,
	ended        BIGINT NOT NULL DEFAULT 0,
	revision     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX notices_of_remote ON notices (project, remote, created, id);
CREATE INDEX notices_of_build ON notices (build) WHERE build <> '';
CREATE INDEX notices_unfinished ON notices (next) WHERE status IN ('queued', 'running', 'waiting');
