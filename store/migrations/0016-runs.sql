-- The runs of one status or verdict, newest first, however few they are among
-- how many.
CREATE INDEX runs_of_status ON runs (status, created, id);
CREATE INDEX runs_of_verdict ON runs (verdict, created, id);
CREATE INDEX runs_of_project_status ON runs (project, status, created, id);
CREATE INDEX runs_of_project_verdict ON runs (project, verdict, created, id);
