-- What months cost, and which runs cost most.

-- How much a run took, so that the heaviest of a month are found by an index,
-- whatever the prices are. It is written with the run's values: runs.valued is
-- 2 when it is there, and 1 of runs that an older program has written down.
CREATE TABLE run_weights (
	run     TEXT PRIMARY KEY,
	project TEXT NOT NULL,
	month   BIGINT NOT NULL,          -- when that of its creation begins in UTC, microseconds since 1970
	weight  DOUBLE PRECISION NOT NULL -- ridgeline.Spent.Weight of all attempts
);
CREATE INDEX run_weights_in_order ON run_weights (month, weight, run);
CREATE INDEX run_weights_of_project ON run_weights (project, month, weight, run);
DROP INDEX runs_unvalued;
CREATE INDEX runs_unvalued ON runs (id) WHERE valued < 2;
CREATE INDEX spending_by_day ON spending (day);

-- The budgets that were exceeded and told of, so that each is told of once.
CREATE TABLE exceeded_budgets (
	project TEXT NOT NULL,            -- '': the server's
	month   BIGINT NOT NULL,
	amount  DOUBLE PRECISION NOT NULL, -- the budget: a greater one is told of again
	at      BIGINT NOT NULL,
	PRIMARY KEY (project, month)
);
