package ridgeline

import (
	"encoding/json"
	"time"
)

// Feedback is what turned out to be right for a row of a request that an
// endpoint has answered, told afterwards. The newest for a row counts.
type Feedback struct {
	Project     ProjectName
	Environment string
	Request     string          // its x-request-id
	Row         int             // of the request, from 0
	Label       json.RawMessage // any JSON value
	At          time.Time       // when it became known
	Received    time.Time
}

// Check reports what is wrong with it.
func (f Feedback) Check() error {
	switch {
	case f.Request == "" || len(f.Request) > 200:
		return Errorf(Invalid, "request_id: expected the x-request-id of a request that was answered, of 1 to 200 characters, got %d", len(f.Request))
	case f.Row < 0 || f.Row > 1<<30:
		return Errorf(Invalid, "row %d of request %s: rows are counted from 0", f.Row, f.Request)
	case len(f.Label) == 0 || !json.Valid(f.Label):
		return Errorf(Invalid, "label of request %s: expected a JSON value: a number, a text, true or false, a list or an object", f.Request)
	case len(f.Label) > 64<<10:
		return Errorf(Invalid, "label of request %s: %d bytes are more than the 65536 that a label may have", f.Request, len(f.Label))
	}
	return nil
}
