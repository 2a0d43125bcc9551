-- What searches look for among runs: those that have not finished well are few,
-- and those that have ended are sorted by when.
CREATE INDEX runs_by_status ON runs (status) WHERE status <> 'FINISHED';
CREATE INDEX runs_by_end ON runs (experiment, stage, ended) WHERE ended IS NOT NULL;

-- SQLite takes values of any length into an index, and reads such an index alone
-- where it has the columns, but not where it has an expression. Later runs come
-- first: they are what is asked for, and what comes after them is not sorted in.
/*sqlite
DROP INDEX params_by_value;
DROP INDEX tags_by_value;
CREATE INDEX params_by_value ON params (key, value, run DESC);
CREATE INDEX tags_by_value ON tags (key, value, run DESC);
*/
