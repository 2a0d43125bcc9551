package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// feedbackPath is where an endpoint takes labels, with the same keys as
// requests.
const feedbackPath = "/feedback"

const (
	maxFeedback = 10 << 20
	maxLabels   = 10_000
)

// label is one label as it comes.
type label struct {
	Request string          `json:"request_id"`
	Row     int             `json:"row"`
	Label   json.RawMessage `json:"label"`
	At      *time.Time      `json:"at"`
}

// feedback takes labels: one object, a list of them, or one a line. All are
// kept, or none; sending them again is harmless. Whether the request is known
// does not matter, because its label may come first.
func (g *Gateway) feedback(w *answerer, r *http.Request, endpoint string) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		problem(w, http.StatusMethodNotAllowed, "feedback is sent by POST")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFeedback))
	if err != nil {
		status := http.StatusBadRequest
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			status = http.StatusRequestEntityTooLarge
		}
		problem(w, status, fmt.Sprintf("the labels could not be read (at most %d bytes at once): %v", maxFeedback, err))
		return
	}
	project, environment, _ := strings.Cut(endpoint, "/")
	list, err := labels(body, time.Now().UTC())
	for i := range list {
		list[i].Project, list[i].Environment = ridgeline.ProjectName(project), environment
	}
	if err == nil {
		err = g.store.SaveFeedback(r.Context(), list)
	}
	if err != nil {
		g.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, "{\"accepted\":%d}\n", len(list))
}

// labels reads and checks what came.
func labels(body []byte, now time.Time) ([]ridgeline.Feedback, error) {
	const shape = `expected {"request_id": …, "label": …}, with "row" and "at" where they are needed; a list of such, or one a line`
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields() // a misspelt "row" would label another one
	var all []label
	for {
		var err error
		if text := bytes.TrimSpace(body); len(all) == 0 && len(text) > 0 && text[0] == '[' {
			err = d.Decode(&all)
		} else {
			var one label
			if err = d.Decode(&one); err == nil {
				all = append(all, one)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "label %d: %s: %w", len(all)+1, shape, err)
		}
	}
	if len(all) == 0 || len(all) > maxLabels {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "%d labels: send 1 to %d at once; %s", len(all), maxLabels, shape)
	}
	list := make([]ridgeline.Feedback, len(all))
	for i, l := range all {
		f := ridgeline.Feedback{Request: l.Request, Row: l.Row, Label: l.Label, At: now, Received: now}
		if l.At != nil {
			f.At = l.At.UTC()
		}
		if err := f.Check(); err != nil {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "label %d: %w", i+1, err)
		}
		list[i] = f
	}
	return list, nil
}
