-- The rows of arrived whose points are not in latest yet. What a request brings
-- is written once; what becomes of a metric's last value, when somebody asks, or
-- when the rows are folded. What has arrived before is in latest already.
CREATE TABLE fresh (
	run      BIGINT NOT NULL,
	sequence BIGINT NOT NULL,
	PRIMARY KEY (run, sequence)
)/*sqlite  WITHOUT ROWID*/;
