-- Repositories and SSH host keys of servers that have no folder in common.

-- A project's repository: how often it was pushed to, and its branches and tags,
-- a line "hash name" each.
CREATE TABLE repositories (
	project TEXT PRIMARY KEY,
	version BIGINT NOT NULL,
	refs TEXT NOT NULL
);

-- The packs of objects in the blob store that make it, each with the version that
-- it came with.
CREATE TABLE repository_packs (
	project TEXT NOT NULL,
	version BIGINT NOT NULL,
	pack TEXT NOT NULL,
	PRIMARY KEY (project, version, pack)
);

-- Lines of a known_hosts file.
CREATE TABLE known_hosts (
	line TEXT PRIMARY KEY,
	seen BIGINT NOT NULL
);
