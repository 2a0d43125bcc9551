-- Tables of runs as people have arranged them: of one project, or of all ('').
CREATE TABLE run_views (
	project TEXT NOT NULL,
	name TEXT NOT NULL,
	query TEXT NOT NULL,
	caller TEXT NOT NULL,
	saved BIGINT NOT NULL,
	PRIMARY KEY (project, name)
);
