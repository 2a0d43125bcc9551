-- Builds of any branch, in whatever way their commit came, and what their
-- tests said. A commit can be met on several branches: the branch is a build's.

ALTER TABLE builds ADD COLUMN branch TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN cause TEXT NOT NULL DEFAULT 'push';
ALTER TABLE builds ADD COLUMN pull_request TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN nightly INTEGER NOT NULL DEFAULT 0;
ALTER TABLE builds ADD COLUMN environment TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN report TEXT NOT NULL DEFAULT '{}';
ALTER TABLE builds ADD COLUMN flaky BIGINT NOT NULL DEFAULT 0; -- how many tests of the report are

UPDATE builds SET branch = COALESCE((SELECT c.branch FROM commits c
	WHERE c.project = builds.project AND c.hash = builds.hash AND c.tree = builds.tree), '');

CREATE INDEX builds_of_tree ON builds (project, tree, created);
CREATE INDEX builds_of_branch ON builds (project, branch, created);
