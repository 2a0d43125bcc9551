-- How much an attempt used over its time. One row for each attempt that took
-- longer than some seconds, written anew as it goes on; course is JSON.
CREATE TABLE courses (
	run     TEXT NOT NULL,
	step    TEXT NOT NULL,
	number  BIGINT NOT NULL,
	began   BIGINT NOT NULL,
	seconds DOUBLE PRECISION NOT NULL, -- how long it is, up to now
	course  TEXT NOT NULL,
	PRIMARY KEY (run, step, number),
	FOREIGN KEY (run, step, number) REFERENCES attempts (run, step, number)
);
