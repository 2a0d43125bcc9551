package api_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/bill"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/prediction"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/release"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
	"github.com/ridgeline-mlops/ridgeline/trigger"
	"github.com/ridgeline-mlops/ridgeline/vault"
)

const hash = "0123456789abcdef0123456789abcdef01234567"

// surface is the API on a real store, and clients of each role. What would
// run is only noted.
type surface struct {
	store                 *store.Store
	blob                  *blob.Store
	url, temp             string
	admin, writer, viewer *api.Client
	mu                    sync.Mutex
	started               []string
}

func open(t *testing.T) *surface {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s := &surface{temp: t.TempDir()}
	var err error
	if s.store, err = store.Open(t.Context(), storetest.Address(t), log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.store.Close() })
	if s.blob, err = blob.Open(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.blob.Close() })
	dir := t.TempDir()
	access, err := auth.New(dir, dir, "", s.store)
	if err != nil {
		t.Fatal(err)
	}
	start := func(_ context.Context, kind, id string) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.started = append(s.started, kind+" "+id)
		return nil
	}
	a := &api.API{
		Store: s.store, Bills: bill.Ledger{Store: s.store, Prices: project.Prices{Currency: "EUR"}, Budget: project.Budget{Month: 7}}, Blob: s.blob, Auth: access, BaseURL: "http://127.0.0.1:8470", RegistryHost: "127.0.0.1:8470", Version: "test", Temp: s.temp, Log: log,
		Builds:      &build.Builder{Store: s.store, Blob: s.blob, Start: start, Log: log},
		Runs:        &pipeline.Runner{Store: s.store, Blob: s.blob, Start: start, Log: log},
		Predictions: &prediction.Log{Store: s.store, Files: s.blob.Objects("predictions"), Waiting: t.TempDir(), Temp: t.TempDir(), Log: log},
		Releases:    &release.Releaser{Store: s.store, Blob: s.blob, Start: start, Trees: t.TempDir(), Log: log},
		Ready:       func(context.Context, ridgeline.DeploymentID) (int, error) { return 2, nil },
		Leads:       func() bool { return false },
	}
	secrets, err := vault.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	private, err := trigger.ParseNetworks("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	a.Webhooks = trigger.NewWebhooks(s.store, secrets, private, a.BaseURL)
	a.Schedules = &trigger.Schedules{Store: s.store, Config: a.Runs.Config, Create: a.Runs.Create, Now: time.Now, Log: log}
	a.Inbox = &trigger.Inbox{
		Store: s.store, Config: a.Runs.Config, Create: a.Runs.Create, Log: log,
		Started: func(ctx context.Context, id ridgeline.RunID) error { return start(ctx, pipeline.Kind, string(id)) },
	}
	handler := a.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // the server's part: who is it
		role := ridgeline.Role(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		handler.ServeHTTP(w, r.WithContext(auth.With(r.Context(), auth.Principal{Name: "ann", Role: role})))
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	client := func(role ridgeline.Role) *api.Client {
		return &api.Client{URL: server.URL, Token: string(role), HTTP: server.Client()}
	}
	s.admin, s.writer, s.viewer = client(ridgeline.Admin), client(ridgeline.Writer), client(ridgeline.Viewer)
	return s
}

func refused(t *testing.T, err error, code ridgeline.Code, says string) {
	t.Helper()
	if ridgeline.CodeOf(err) != code || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v (%s), want %s and %q", err, ridgeline.CodeOf(err), code, says)
	}
}

func archive(t *testing.T, files ...string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: 5, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("text\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestStatus(t *testing.T) {
	seen := map[int]ridgeline.Code{}
	for _, code := range ridgeline.Codes() {
		status := api.Status(code)
		if http.StatusText(status) == "" || status < 400 || seen[status] != "" {
			t.Errorf("%s is answered with %d, as %q is", code, status, seen[status])
		}
		seen[status] = code
	}
}

// What a server refuses comes back to the caller with its code and its words.
func TestClient_reads_problems(t *testing.T) {
	var status int
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	defer server.Close()
	client := &api.Client{URL: server.URL + "/", HTTP: server.Client()}
	ask := func(with int, text string) error {
		status, body = with, text
		return client.Do(t.Context(), http.MethodGet, "/x", nil, nil)
	}
	for _, code := range ridgeline.Codes() {
		refused(t, ask(api.Status(code), `{"title":"T","status":1,"detail":"the reason"}`), code, "the reason")
	}
	for name, test := range map[string]struct {
		status int
		body   string
		code   ridgeline.Code
		says   string
	}{
		"no token":             {401, `{"detail":"no token"}`, ridgeline.Denied, "no token"},
		"a form's mistakes":    {422, `{"detail":"validation failed","errors":[{"message":"expected length <= 60","location":"body.name"}]}`, ridgeline.Invalid, "validation failed; body.name: expected length <= 60"},
		"a malformed request":  {400, `{"detail":"no"}`, ridgeline.Invalid, "no"},
		"too large":            {413, `{"detail":"too large"}`, ridgeline.Invalid, "too large"},
		"a proxy's page":       {502, "<html>Bad Gateway</html>", ridgeline.Unavailable, "<html>Bad Gateway</html>"},
		"a proxy that waits":   {504, "", ridgeline.Unavailable, "the server answered 504 Gateway Timeout"},
		"a teapot":             {418, "", ridgeline.Internal, "418"},
		"a problem of no word": {409, `{}`, ridgeline.Conflict, "{}"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, ask(test.status, test.body), test.code, test.says) })
	}
	t.Run("an answer that is not JSON", func(t *testing.T) {
		status, body = 200, "<html>"
		if _, err := api.Get[map[string]any](t.Context(), client, "/x"); err == nil || !strings.Contains(err.Error(), "cannot be read") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		gone := &api.Client{URL: "http://127.0.0.1:1", HTTP: http.DefaultClient}
		refused(t, gone.Do(t.Context(), http.MethodGet, "/x", nil, nil), ridgeline.Unavailable, "no server answers at http://127.0.0.1:1")
	})
	t.Run("given up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := client.Do(ctx, http.MethodGet, "/x", nil, nil); err == nil || ctx.Err() == nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestAPI_openapi(t *testing.T) {
	s := open(t)
	doc, err := api.Get[struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			OperationID, Summary, Description string
			Tags                              []string
		}
		Components struct{ SecuritySchemes map[string]any }
		Security   []map[string][]string
	}](t.Context(), s.viewer, "/api/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") || len(doc.Security) == 0 || doc.Components.SecuritySchemes["token"] == nil {
		t.Errorf("openapi %q, security %v", doc.OpenAPI, doc.Security)
	}
	ids := map[string]bool{}
	for path, operations := range doc.Paths {
		if !strings.HasPrefix(path, "/api/v1/") {
			t.Errorf("%s is outside of /api/v1/", path)
		}
		for method, op := range operations {
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Tags) != 1 || !strings.HasPrefix(op.Description, "Needs the role ") {
				t.Errorf("%s %s: %+v", method, path, op)
			}
			ids[op.OperationID] = true
		}
	}
	for _, id := range []string{"push", "train", "release", "rollback", "approve-release", "list-endpoints", "rotate-key", "create-token", "show-gate"} {
		if !ids[id] {
			t.Errorf("no operation %s among %v", id, ids)
		}
	}
}

// Whoever lacks the role is refused, whatever the operation.
func TestAPI_roles(t *testing.T) {
	s := open(t)
	nobody := &api.Client{URL: s.url, Token: "nobody", HTTP: http.DefaultClient}
	for _, test := range []struct {
		client       *api.Client
		method, path string
	}{
		{nobody, "GET", "/runs"}, {nobody, "GET", "/builds/b-1"}, {nobody, "GET", "/endpoints"},
		{s.viewer, "POST", "/projects/iris/runs"}, {s.viewer, "POST", "/runs/r-1/cancel"}, {s.viewer, "POST", "/models/iris/releases"},
		{s.viewer, "POST", "/releases/l-1/approve"}, {s.viewer, "POST", "/projects/iris/environments/qa/rollback"}, {s.viewer, "POST", "/endpoints/iris/qa/keys/primary/rotate"},
		{s.viewer, "POST", "/events"}, {s.viewer, "POST", "/projects/iris/schedules/pause"}, {s.writer, "GET", "/webhooks"}, {s.writer, "POST", "/webhooks/h-1/test"},
		{s.writer, "POST", "/deliveries/w-1/redeliver"}, {s.writer, "GET", "/tokens"}, {s.writer, "POST", "/tokens/t-1/revoke"},
	} {
		err := test.client.Do(t.Context(), test.method, "/api/v1"+test.path, nil, nil)
		if ridgeline.CodeOf(err) != ridgeline.Denied {
			t.Errorf("%s as %s: %v, want Denied", test.path, test.client.Token, err)
		}
	}
	_, err := s.viewer.Push(t.Context(), ridgeline.Commit{Project: "iris", Hash: hash}, "", archive(t, "ridgeline.yaml"))
	refused(t, err, ridgeline.Denied, "this needs a writer")
}

func TestAPI_push(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	commit := ridgeline.Commit{Project: "iris", Hash: hash, Branch: "main", Message: "one & two", Author: "Ann <ann@example.com>"}
	for name, test := range map[string]struct {
		change  func(*ridgeline.Commit)
		archive io.Reader
		says    string
	}{
		"a short hash":             {func(c *ridgeline.Commit) { c.Hash = "0123" }, archive(t, "a"), "40 hex digits"},
		"a hash that is none":      {func(c *ridgeline.Commit) { c.Hash = strings.Repeat("x", 40) }, archive(t, "a"), "40 hex digits"},
		"a name that cannot be":    {func(c *ridgeline.Commit) { c.Project = "Iris" }, archive(t, "a"), "lower-case letters"},
		"no archive":               {nil, strings.NewReader("hello, this is no tar archive"), "the source archive cannot be read"},
		"an archive cut off":       {nil, io.LimitReader(archive(t, "a", "b"), 512+3), "the source archive cannot be read"},
		"a file outside":           {nil, archive(t, "../../escape"), "the source archive cannot be read"},
		"a file at the top of all": {nil, archive(t, "/etc/escape"), "the source archive cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			c := commit
			if test.change != nil {
				test.change(&c)
			}
			_, err := s.writer.Push(ctx, c, "", test.archive)
			refused(t, err, ridgeline.Invalid, test.says)
		})
	}
	if rows, err := s.store.Builds(ctx, store.BuildFilter{}); err != nil || len(rows) != 0 || len(s.started) != 0 {
		t.Errorf("what was refused left builds %v, started %v, %v", rows, s.started, err)
	}

	b, err := s.writer.Push(ctx, commit, "", archive(t, "ridgeline.yaml", "iris/train.py"))
	if err != nil {
		t.Fatal(err)
	}
	if b.Status != "queued" || b.Commit != hash || b.Project != "iris" || b.Branch != "main" || len(s.started) != 1 || s.started[0] != build.Kind+" "+b.Build {
		t.Errorf("got %+v, started %v", b, s.started)
	}
	row, err := s.store.Build(ctx, ridgeline.BuildID(b.Build))
	if err != nil || row.Commit.Message != "one & two" || row.Commit.Author != "Ann <ann@example.com>" || row.Caller != "ann" {
		t.Errorf("stored %+v, %v", row, err)
	}
	tree := filepath.Join(t.TempDir(), "tree")
	if err := s.blob.GetTree(ctx, row.Commit.Tree, tree); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(tree, "iris", "train.py")); err != nil || string(text) != "text\n" {
		t.Errorf("kept %q, %v", text, err)
	}
	commit.Dirty = true // the same files in another order are the same tree
	again, err := s.writer.Push(ctx, commit, "", archive(t, "iris/train.py", "ridgeline.yaml"))
	if err != nil || again.Commit != hash+"-dirty-"+row.Commit.Tree[:8] {
		t.Errorf("got %+v, %v", again, err)
	}
	if left, err := os.ReadDir(s.temp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAPI_reads(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	for _, path := range []string{"/builds", "/runs", "/models", "/releases", "/endpoints", "/projects/iris/data", "/events", "/schedules"} {
		if list, err := api.Get[json.RawMessage](ctx, s.viewer, "/api/v1"+path); err != nil || strings.TrimSpace(string(list)) != "[]" {
			t.Errorf("%s: got %s, %v; want an empty list, never null", path, list, err)
		}
	}
	for path, says := range map[string]string{
		"/builds/b-none": "b-none", "/runs/r-none": "r-none", "/runs/r-none/gate": "r-none", "/releases/l-none": "l-none",
		"/models/none/versions": "ridgeline models lists those there are", "/models/none/versions/1": "none",
	} {
		refused(t, s.viewer.Do(ctx, "GET", "/api/v1"+path, nil, nil), ridgeline.NotFound, says)
	}
	for _, path := range []string{"/runs?limit=0", "/runs?limit=x", "/runs?status=done", "/models/iris/versions/0"} {
		refused(t, s.viewer.Do(ctx, "GET", "/api/v1"+path, nil, nil), ridgeline.Invalid, "")
	}
	refused(t, s.writer.Do(ctx, "POST", "/api/v1/projects/iris/runs", nil, nil), ridgeline.NotFound, "iris")
	refused(t, s.writer.Do(ctx, "POST", "/api/v1/projects/iris/environments/qa/rollback", nil, nil), ridgeline.Conflict, "no earlier version")
}

func TestAPI_endpoints(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	now := time.Now().UTC()
	if _, err := s.store.EnsureProject(ctx, "iris", now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.EnsureEndpoint(ctx, "iris", "qa"); err != nil {
		t.Fatal(err)
	}
	read := func(c *api.Client) api.Endpoint {
		t.Helper()
		list, err := api.Get[[]api.Endpoint](ctx, c, "/api/v1/endpoints?project=iris")
		if err != nil || len(list) != 1 {
			t.Fatalf("got %v, %v", list, err)
		}
		return list[0]
	}
	first := read(s.writer)
	if first.URL != "http://127.0.0.1:8470/endpoints/iris/qa/score" || first.Ready || first.PrimaryKey == "" || first.PrimaryKey == first.SecondaryKey {
		t.Errorf("got %+v", first)
	}
	if seen := read(s.viewer); seen.PrimaryKey != "" || seen.SecondaryKey != "" {
		t.Error("a viewer sees keys")
	}
	rotated, err := api.Post[api.Endpoint](ctx, s.writer, "/api/v1/endpoints/iris/qa/keys/primary/rotate", nil)
	if err != nil || rotated.PrimaryKey == first.PrimaryKey || rotated.SecondaryKey != first.SecondaryKey {
		t.Errorf("got %+v, %v", rotated, err)
	}
	refused(t, s.writer.Do(ctx, "POST", "/api/v1/endpoints/iris/qa/keys/third/rotate", nil, nil), ridgeline.Invalid, "")
	refused(t, s.writer.Do(ctx, "POST", "/api/v1/endpoints/iris/none/keys/primary/rotate", nil, nil), ridgeline.NotFound, "")

	d := ridgeline.Deployment{
		ID: "d-1", Project: "iris", Environment: "qa", Release: "l-1", Model: "iris", Version: 3, Image: "iris@sha256:1", Host: "process",
		Replicas: 2, State: ridgeline.DeploymentStarting, Created: now,
	}
	if err := s.store.CreateDeployment(ctx, d); err != nil {
		t.Fatal(err)
	}
	if err := s.store.SwitchDeployment(ctx, "d-1", now); err != nil {
		t.Fatal(err)
	}
	if e := read(s.viewer); e.Version != 3 || !e.Ready || e.Replicas != 2 || e.Image != "127.0.0.1:8470/iris@sha256:1" {
		t.Errorf("got %+v", e)
	}
}

func TestAPI_tokens(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	made, err := api.Post[api.Token](ctx, s.admin, "/api/v1/tokens", map[string]any{"name": "ci", "role": "writer", "days": 1.5})
	if err != nil || !strings.HasPrefix(made.Secret, auth.Secret) || made.Role != "writer" || made.Expires == nil {
		t.Fatalf("got %+v, %v", made, err)
	}
	if days := made.Expires.Sub(made.Created).Hours() / 24; days != 1.5 {
		t.Errorf("valid for %v days", days)
	}
	if row, err := s.store.TokenByHash(ctx, auth.Hash(made.Secret)); err != nil || string(row.ID) != made.ID {
		t.Errorf("stored %+v, %v", row, err)
	}
	list := func() []api.Token {
		t.Helper()
		rows, err := api.Get[[]api.Token](ctx, s.admin, "/api/v1/tokens")
		if err != nil || len(rows) != 1 {
			t.Fatalf("got %v, %v", rows, err)
		}
		return rows
	}
	if got := list()[0]; got.Secret != "" || got.Revoked != nil {
		t.Errorf("listed %+v", got)
	}
	if err := s.admin.Do(ctx, "POST", "/api/v1/tokens/"+made.ID+"/revoke", nil, nil); err != nil {
		t.Fatal(err)
	}
	if list()[0].Revoked == nil {
		t.Error("not revoked")
	}
	for _, in := range []map[string]any{{"name": "x", "role": "owner"}, {"name": "", "role": "viewer"}, {"role": "viewer"}, {"name": "x", "role": "viewer", "days": -1}} {
		refused(t, s.admin.Do(ctx, "POST", "/api/v1/tokens", in, nil), ridgeline.Invalid, "")
	}
}

// A month tells where it stands beside its budget, and what each line of it is.
func TestAPI_months(t *testing.T) {
	s := open(t)
	m, err := api.Get[api.MonthCost](t.Context(), s.viewer, "/api/v1/costs/month")
	if err != nil || m.Month != time.Now().UTC().Format("2006-01") || m.Currency != "EUR" || m.Budget == nil || m.Budget.Amount != 7 || m.Budget.State != bill.Within {
		t.Errorf("%+v, %v", m, err)
	}
	lines, err := api.Get[api.MonthLines](t.Context(), s.viewer, "/api/v1/costs/month/lines?month=2026-01")
	if err != nil || lines.Currency != "EUR" || lines.Lines == nil {
		t.Errorf("%+v, %v", lines, err)
	}
	_, err = api.Get[api.MonthCost](t.Context(), s.viewer, "/api/v1/costs/month?month=last")
	refused(t, err, ridgeline.Invalid, "expected one that has begun")
}
