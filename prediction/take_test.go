package prediction_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/prediction"
	"github.com/ridgeline-mlops/ridgeline/score/journal"
)

// A scorer elsewhere brings its log by HTTP, with a token that is good for
// nothing but its own deployment's.
func TestLog_ServeHTTP(t *testing.T) {
	f := newFixture(t, "")
	d := ridgeline.Deployment{ID: "d-1", Project: "wine", Environment: "qa", Model: "quality", Version: 3, State: ridgeline.DeploymentStarting, Created: time.Now()}
	f.known[d.ID] = d
	f.Whose = func(secret string, _ time.Time) (ridgeline.DeploymentID, error) {
		id, ok := strings.CutPrefix(secret, "token of ")
		if !ok {
			return "", ridgeline.Errorf(ridgeline.Denied, "no token")
		}
		return ridgeline.DeploymentID(id), nil
	}
	mux := http.NewServeMux()
	mux.Handle("PUT /api/v1/deployments/{deployment}/log/{file...}", f.Log)
	server := httptest.NewServer(mux)
	defer server.Close()

	store, err := journal.OpenStore(server.URL+"/api/v1/deployments/d-1/log", "token of d-1")
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(journal.Config{Origin: journal.Origin{Project: "wine", Environment: "qa", Model: "quality", Version: "3", Deployment: "d-1", Copy: "pod-x"}, Dir: t.TempDir(), Store: store})
	if err != nil {
		t.Fatal(err)
	}
	score(j, "a", 200, 3)
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.expect(prediction.Query{SQL: "SELECT request_id, copy, input_pH FROM predictions"}, `[["a","pod-x",3]]`)

	const good = "wine/quality/3/2026/03/01/12/d-1-x.parquet"
	for _, test := range []struct {
		deployment, token, file, body string
		status                        int
	}{
		{"d-1", "token of d-1", good, "PAR1 whatever PAR1", 204},
		{"d-1", "token of d-2", good, "PAR1PAR1", 401},
		{"d-1", "", good, "PAR1PAR1", 401},
		{"d-2", "token of d-2", good, "PAR1PAR1", 404},
		{"d-1", "token of d-1", "iris/quality/3/2026/03/01/12/d-1-x.parquet", "PAR1PAR1", 422},
		{"d-1", "token of d-1", "wine/quality/2/2026/03/01/12/d-1-x.parquet", "PAR1PAR1", 422},
		{"d-1", "token of d-1", "wine/quality/3/2026/03/01/12/d-2-x.parquet", "PAR1PAR1", 422},
		{"d-1", "token of d-1", "wine/quality/3/d-1-x.parquet", "PAR1PAR1", 422},
		{"d-1", "token of d-1", strings.Replace(good, "x", "y", 1), "PAR1 cut of", 422},
		{"d-1", "token of d-1", strings.Replace(good, "x", "y", 1), "", 422},
	} {
		req, err := http.NewRequest(http.MethodPut, server.URL+"/api/v1/deployments/"+test.deployment+"/log/"+test.file, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+test.token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != test.status {
			t.Errorf("%+v: got %d %s", test, res.StatusCode, text)
		}
	}
	files, err := f.Files.List(t.Context(), "wine/quality/3/2026/03/01")
	if err != nil || len(files) != 1 || files[0].Name != good {
		t.Errorf("kept: %v, %v", files, err)
	}
}
