package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// maxCollected bounds one call of a Collector's collect().
const maxCollected = 64 << 20

// Collector is the sink of azureml-ai-monitoring 1.0.0 (azureml.ai.monitoring's
// Collector): POST /modeldata/log with the rows of a DataFrame as a JSON list,
// what they are in the headers ce-type (azureml.inference.NAME), ce-time (Unix
// seconds) and ce-x-request-id; in ce-x-ridgeline-purpose, which our worker adds,
// why the request was made that they belong to, if no client did. Each row is kept, with the same redaction,
// before the answer. Without a journal the sink takes everything and keeps
// nothing, so that a script that collects runs all the same.
func Collector(j *Journal) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /modeldata/log", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCollected))
		if err != nil {
			status := http.StatusBadRequest
			if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
				status = http.StatusRequestEntityTooLarge
			}
			http.Error(w, err.Error(), status)
			return
		}
		if j == nil {
			return
		}
		rows, err := collectedRows(r.Header, body, time.Now())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		j.collect(rows)
	})
	return mux
}

func collectedRows(h http.Header, body []byte, now time.Time) ([]collectedRow, error) {
	collection, ok := strings.CutPrefix(h.Get("ce-type"), "azureml.inference.")
	if !ok || collection == "" {
		return nil, fmt.Errorf("the header ce-type is %q: expected azureml.inference.NAME", h.Get("ce-type"))
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("expected a list of rows as JSON: %w", err)
	}
	at := now
	if seconds, err := strconv.ParseFloat(h.Get("ce-time"), 64); err == nil && seconds > 0 && seconds < 1<<40 {
		at = time.UnixMicro(int64(seconds * 1e6))
	}
	rows := make([]collectedRow, len(list))
	for i, data := range list {
		rows[i] = collectedRow{time: at.UnixMicro(), collection: clip(collection), requestID: clip(h.Get("ce-x-request-id")), row: i, purpose: clip(h.Get("ce-" + ridgeline.PurposeHeader)), data: bytes.TrimSpace(data)}
	}
	return rows, nil
}

// collect keeps rows. One that is too large is counted as lost.
func (j *Journal) collect(rows []collectedRow) {
	if j.redact != nil {
		for i := range rows {
			rows[i].data = j.redact.body(rows[i].data)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range rows {
		if len(c.data) > maxPayload {
			j.lost(fmt.Errorf("a row of collection %s has %d bytes; at most %d are kept", c.collection, len(c.data), maxPayload))
			continue
		}
		j.append(func(b []byte) []byte { return appendCollected(b, c) })
	}
}
