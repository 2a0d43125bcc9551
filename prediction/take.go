package prediction

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// maxFile bounds a file that a scorer elsewhere brings; a segment has 64 MB.
const maxFile = 256 << 20

// late is how long after its end a deployment may bring what it had left.
const late = 24 * time.Hour

// ServeHTTP takes a finished file of a scorer that is not on this machine: PUT
// …/deployments/{deployment}/log/{file...}, with the deployment's own token. A
// file of the same name is replaced, and 204 says that it is safe.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut {
		w.Header().Set("Allow", http.MethodPut)
		refuse(w, http.StatusMethodNotAllowed, errors.New("files of the inference log are PUT"))
		return
	}
	id := ridgeline.DeploymentID(r.PathValue("deployment"))
	secret, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	whose, err := l.Whose(secret, time.Now())
	if err == nil && whose != id {
		err = ridgeline.Errorf(ridgeline.Denied, "this token is for the log of %s, not %s", whose, id)
	}
	if err != nil {
		refuse(w, http.StatusUnauthorized, err)
		return
	}
	d, err := l.Store.Deployment(r.Context(), id)
	if err == nil && !d.Ended.IsZero() && time.Since(d.Ended) > late {
		err = ridgeline.Errorf(ridgeline.Denied, "deployment %s ended at %s: its log is closed", id, d.Ended.Format(time.RFC3339))
	}
	name := r.PathValue("file")
	if err == nil {
		err = belongs(name, d)
	}
	if err == nil {
		err = l.Files.Put(r.Context(), name, &parquetOnly{from: http.MaxBytesReader(w, r.Body, maxFile)})
	}
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if r.Context().Err() != nil {
		return // nobody is there to be answered
	}
	status := map[ridgeline.Code]int{ridgeline.Invalid: http.StatusUnprocessableEntity, ridgeline.NotFound: http.StatusNotFound, ridgeline.Denied: http.StatusForbidden}[ridgeline.CodeOf(err)]
	if status == 0 {
		l.Log.Error("take in a file of the inference log", "deployment", id, "error", err)
		status, err = http.StatusServiceUnavailable, errors.New("the file could not be kept; the server's log says why")
	}
	refuse(w, status, err)
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": err.Error()})
}

// belongs reports whether a file's name is one that the deployment's scorers
// give.
func belongs(name string, d ridgeline.Deployment) error {
	prefix := strings.Join([]string{string(d.Project), string(d.Model), strconv.Itoa(d.Version)}, "/") + "/"
	base := path.Base(name)
	if _, ok := hourOf(name); !ok || !strings.HasPrefix(name, prefix) || !strings.HasPrefix(base, string(d.ID)+"-") || !strings.HasSuffix(base, ".parquet") {
		return ridgeline.Errorf(ridgeline.Invalid, "name %q: expected %sYYYY/MM/DD/HH/%s-….parquet", name, prefix, d.ID)
	}
	return nil
}

// parquetOnly fails at the end of what is no Parquet file, so that nothing of
// it is kept.
type parquetOnly struct {
	from  io.Reader
	first []byte
	last  []byte
}

// Read implements io.Reader.
func (p *parquetOnly) Read(b []byte) (int, error) {
	const magic = "PAR1"
	n, err := p.from.Read(b)
	if len(p.first) < len(magic) {
		p.first = append(p.first, b[:min(n, len(magic)-len(p.first))]...)
	}
	p.last = append(p.last, b[max(0, n-len(magic)):n]...)
	p.last = p.last[max(0, len(p.last)-len(magic)):]
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return n, ridgeline.Errorf(ridgeline.Invalid, "the file has more than %d bytes", large.Limit)
	}
	if errors.Is(err, io.EOF) && (string(p.first) != magic || string(p.last) != magic) {
		return n, ridgeline.Errorf(ridgeline.Invalid, "%w", fmt.Errorf("the body is no whole Parquet file"))
	}
	return n, err
}
