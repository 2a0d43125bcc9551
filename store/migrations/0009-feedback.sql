-- What turned out to be right, told afterwards: a label for a row of a request
-- that an endpoint has answered.

CREATE TABLE feedback (
	project     TEXT NOT NULL REFERENCES projects (name),
	environment TEXT NOT NULL,
	request     TEXT NOT NULL,
	item        BIGINT NOT NULL, -- the row of the request
	label       TEXT NOT NULL,   -- JSON
	at          BIGINT NOT NULL, -- when it became known
	received    BIGINT NOT NULL,
	PRIMARY KEY (project, environment, request, item)
);
CREATE INDEX feedback_by_time ON feedback (project, environment, received);
