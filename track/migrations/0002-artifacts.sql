-- Which content each artifact has. A root is what artifacts are listed by: the
-- first three parts of a path, such as 1/RUN/artifacts.

CREATE TABLE artifacts (
	root     TEXT NOT NULL,
	path     TEXT NOT NULL,
	digest   TEXT NOT NULL,
	size     BIGINT NOT NULL,
	modified BIGINT NOT NULL,
	PRIMARY KEY (root, path)
)/*sqlite  WITHOUT ROWID*/;
CREATE INDEX artifacts_of_content ON artifacts (digest);
