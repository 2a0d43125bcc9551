package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// TestReadEvents_SDK: what CloudEvents' own library sends in each of the three
// modes is read as it was meant.
func TestReadEvents_SDK(t *testing.T) {
	var got []Incoming
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			got, err = ReadEvents(r.Header, body)
		}
		if err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	e := event.New()
	e.SetID("a-1")
	e.SetSource("https://example.com/orders?shop=3")
	e.SetType("com.example.größer")
	e.SetSubject("order 7 “new”")
	ok(t, e.SetData(event.ApplicationJSON, map[string]int{"n": 1}))
	want := Incoming{ID: "a-1", Source: "https://example.com/orders?shop=3", Type: "com.example.größer", Subject: "order 7 “new”"}
	for mode, write := range map[string]func(context.Context, *http.Request) error{
		"binary": func(ctx context.Context, r *http.Request) error {
			return cehttp.WriteRequest(binding.WithForceBinary(ctx), binding.ToMessage(&e), r)
		},
		"structured": func(ctx context.Context, r *http.Request) error {
			return cehttp.WriteRequest(binding.WithForceStructured(ctx), binding.ToMessage(&e), r)
		},
		"batched": func(ctx context.Context, r *http.Request) error {
			batch, err := cehttp.NewHTTPRequestFromEvents(ctx, server.URL, []event.Event{e, e})
			if err == nil {
				*r = *batch
			}
			return err
		},
	} {
		req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil))(t)
		ok(t, write(t.Context(), req))
		res := must(http.DefaultClient.Do(req))(t)
		res.Body.Close()
		n := 1
		if mode == "batched" {
			n = 2
		}
		if len(got) != n || !equal(got[0], want) {
			t.Errorf("%s: got %+v, want %d of %+v", mode, got, n, want)
		}
	}
}

func equal(a, b Incoming) bool {
	return a.ID == b.ID && a.Source == b.Source && a.Type == b.Type && a.Subject == b.Subject && slices.Equal(a.Objects, b.Objects) && a.validation == b.validation
}

func TestReadEvents(t *testing.T) {
	for name, c := range map[string]struct {
		kind, body string
		want       []Incoming
		err        string
	}{
		"Event Grid's own schema": {
			"application/json; charset=utf-8",
			`[{"id":"831e1650-001e-001b-66ab-eeb76e069631","topic":"/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/lake","subject":"/blobServices/default/containers/raw/blobs/sales/2026/a b.csv","eventType":"Microsoft.Storage.BlobCreated","eventTime":"2026-03-01T18:41:00.9584103Z","data":{"api":"PutBlockList","url":"https://lake.blob.core.windows.net/raw/sales/2026/a%20b.csv"},"dataVersion":"","metadataVersion":"1"}]`,
			[]Incoming{{
				ID: "831e1650-001e-001b-66ab-eeb76e069631", Source: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/lake", Type: "Microsoft.Storage.BlobCreated",
				Subject: "/blobServices/default/containers/raw/blobs/sales/2026/a b.csv", Objects: []string{"azblob://raw/sales/2026/a b.csv"},
			}}, "",
		},
		"Event Grid asks": {
			"application/json",
			`[{"id":"2d1781af","topic":"/subscriptions/s","subject":"","data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"},"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","eventTime":"2026-03-01T18:41:00Z"}]`,
			[]Incoming{{ID: "2d1781af", Source: "/subscriptions/s", Type: "Microsoft.EventGrid.SubscriptionValidationEvent", validation: "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}}, "",
		},
		"a blob as a CloudEvent": {
			"application/cloudevents+json",
			`{"specversion":"1.0","id":"9","source":"/subscriptions/s","type":"Microsoft.Storage.BlobCreated","subject":"/blobServices/default/containers/raw/blobs/x.csv","time":"2026-03-01T18:41:00Z","data":{}}`,
			[]Incoming{{ID: "9", Source: "/subscriptions/s", Type: "Microsoft.Storage.BlobCreated", Subject: "/blobServices/default/containers/raw/blobs/x.csv", Objects: []string{"azblob://raw/x.csv"}}}, "",
		},
		"Google's storage": {
			"application/cloudevents+json",
			`{"specversion":"1.0","id":"9","source":"//storage.googleapis.com/projects/_/buckets/raw","type":"google.cloud.storage.object.v1.finalized","subject":"objects/sales/x.csv","data":{}}`,
			[]Incoming{{ID: "9", Source: "//storage.googleapis.com/projects/_/buckets/raw", Type: "google.cloud.storage.object.v1.finalized", Subject: "objects/sales/x.csv", Objects: []string{"gs://raw/sales/x.csv"}}}, "",
		},
		"S3": {
			"application/json",
			`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-west-2","eventTime":"1970-01-01T00:00:00.000Z","eventName":"ObjectCreated:Put","s3":{"s3SchemaVersion":"1.0","bucket":{"name":"raw","arn":"arn:aws:s3:::raw"},"object":{"key":"sales/Happy+Face%20%2B1.csv","size":1024,"eTag":"d41d","sequencer":"0055AED6"}}},{"eventSource":"aws:s3","eventName":"ObjectRemoved:Delete","s3":{"bucket":{"name":"raw"},"object":{"key":"old.csv"}}}]}`,
			[]Incoming{{ID: "sales/Happy Face +1.csv 0055AED6d41d", Source: "s3://raw", Type: "s3:ObjectCreated:Put", Subject: "sales/Happy Face +1.csv", Objects: []string{"s3://raw/sales/Happy Face +1.csv"}}}, "",
		},
		"MinIO": {
			"application/json",
			`{"EventName":"s3:ObjectCreated:Put","Key":"raw/x.csv","Records":[{"eventSource":"minio:s3","eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"raw"},"object":{"key":"x.csv","eTag":"1","sequencer":"17"}}}]}`,
			[]Incoming{{ID: "x.csv 171", Source: "s3://raw", Type: "s3:ObjectCreated:Put", Subject: "x.csv", Objects: []string{"s3://raw/x.csv"}}}, "",
		},
		"an empty batch": {"application/cloudevents-batch+json", `[]`, nil, ""},
		"no object":      {"application/cloudevents+json", `[1]`, nil, "no JSON object"},
		"cut off":        {"application/cloudevents-batch+json", `[{"specversion":`, nil, "no JSON array"},
		"no id":          {"application/cloudevents+json", `{"specversion":"1.0","source":"/a","type":"t"}`, nil, "event 1 has no id"},
		"old version":    {"application/cloudevents+json", `{"specversion":"0.3","id":"1","source":"/a","type":"t"}`, nil, `specversion "0.3"`},
		"a wrong time":   {"application/cloudevents+json", `{"specversion":"1.0","id":"1","source":"/a","type":"t","time":"yesterday"}`, nil, "RFC 3339"},
		"an endless id":  {"application/cloudevents+json", `{"specversion":"1.0","id":"` + strings.Repeat("x", 2000) + `","source":"/a","type":"t"}`, nil, "the limit is 1024"},
		"just JSON":      {"application/json", `{"hello":1}`, nil, `specversion ""`},
		"a form":         {"application/x-www-form-urlencoded", `a=b`, nil, "application/cloudevents+json"},
		"S3 of nothing":  {"application/json", `{"Records":[{"eventName":"ObjectCreated:Put","s3":{}}]}`, nil, "names no object"},
	} {
		got, err := ReadEvents(http.Header{"Content-Type": {c.kind}}, []byte(c.body))
		if c.err != "" {
			if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: got %v, want %q", name, err, c.err)
			}
			continue
		}
		if err != nil || !slices.EqualFunc(got, c.want, equal) {
			t.Errorf("%s:\ngot  %+v %v\nwant %+v", name, got, err, c.want)
		}
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add("application/cloudevents+json", "1", []byte(`{"specversion":"1.0","id":"1","source":"/a","type":"t"}`))
	f.Add("application/json", "", []byte(`{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"%zz"}}}]}`))
	f.Fuzz(func(t *testing.T, kind, id string, body []byte) {
		events, err := ReadEvents(http.Header{"Content-Type": {kind}, "Ce-Id": {id}}, body)
		if err != nil && ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Error(err)
		}
		for _, e := range events {
			if e.ID == "" || e.Source == "" || e.Type == "" {
				t.Errorf("%+v", e)
			}
		}
	})
}

func newInbox(t testing.TB, s *scene) (*Inbox, *[]string) {
	t.Helper()
	looked := &[]string{}
	return &Inbox{
		Store: s.store, Config: s.runner.Config, Create: s.runner.Create, Log: slog.New(slog.DiscardHandler),
		Started: func(_ context.Context, id ridgeline.RunID) error {
			s.started = append(s.started, string(id))
			return nil
		},
		Data: &sources{paths: map[string]string{"sales": "s3://raw/sales/*.csv?region=eu-1", "stock": "azblob://raw/stock", "shops": "s3://other/shops.csv"}, looked: looked},
	}, looked
}

// sources are datasets of the project iris at the paths, and note who looks.
type sources struct {
	paths  map[string]string
	looked *[]string
	err    error
}

func (s *sources) Covers(_ context.Context, address string) ([]ridgeline.Dataset, error) {
	var all []ridgeline.Dataset
	for name, path := range s.paths {
		if blob.Covers(path, address) {
			all = append(all, ridgeline.Dataset{Project: "iris", Name: name})
		}
	}
	return all, nil
}

func (s *sources) Look(_ context.Context, p ridgeline.ProjectName, dataset, cause, caller string) (ridgeline.Arrival, bool, error) {
	*s.looked = append(*s.looked, string(p)+"/"+dataset+" "+cause+" "+caller)
	return ridgeline.Arrival{ID: "a-1"}, true, s.err
}

func TestInbox_Accept(t *testing.T) {
	ctx := t.Context()
	s := newScene(t)
	inbox, _ := newInbox(t, s)
	orders := Incoming{ID: "7", Source: "https://example.com/shop", Type: "com.example.order"}
	other := Incoming{ID: "8", Source: "https://example.com/shop", Type: "com.example.refund"}

	got := must(inbox.Accept(ctx, []Incoming{orders}, "", "ann"))(t)
	if len(got) != 0 {
		t.Errorf("without a pipeline: %+v", got)
	}
	publish(t, s.store, s.blobs, strings.Replace(on(
		`events:`, `  - {type: com.example.order, source: "https://example.com/*", params: {kind: orders}}`, `  - {source: "https://example.com/*/*"}`,
	), "pipeline:\n", "pipeline:\n  params: {kind: {type: string, default: none}}\n", 1), midnight)
	got = must(inbox.Accept(ctx, []Incoming{orders, other}, "", "ann"))(t)
	if len(got) != 1 || got[0].Run == "" || got[0].Again || got[0].Project != "iris" {
		t.Fatalf("%+v", got)
	}
	run := must(s.store.Run(ctx, got[0].Run))(t)
	if run.Cause != "event com.example.order https://example.com/shop/7" || run.Caller != "ann" || run.Params["kind"] != "orders" {
		t.Errorf("%+v", run)
	}
	again := must(inbox.Accept(ctx, []Incoming{orders, orders}, "iris", "bob"))(t)
	if len(again) != 2 || again[1].Run != run.ID || !again[1].Again || len(s.started) != 1 {
		t.Errorf("%+v, started %v", again, s.started)
	}
	_, err := inbox.Accept(ctx, []Incoming{orders}, "nobody", "ann")
	refused(t, err, ridgeline.NotFound, "no project nobody")

	// A failure of ours leaves no trace: the event may come again.
	broken := errors.New("the disk is gone")
	inbox.Create = func(context.Context, *store.Store, pipeline.Request) (ridgeline.Run, error) {
		return ridgeline.Run{}, broken
	}
	orders.ID = "9"
	if _, err := inbox.Accept(ctx, []Incoming{orders}, "", "ann"); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	inbox.Create = s.runner.Create
	if got := must(inbox.Accept(ctx, []Incoming{orders}, "", "ann"))(t); got[0].Run == "" || got[0].Again {
		t.Errorf("%+v", got)
	}
}

func TestInbox_Refused(t *testing.T) {
	ctx := t.Context()
	s := newScene(t)
	inbox, _ := newInbox(t, s)
	publish(t, s.store, s.blobs, strings.Replace(on(`events: {type: com.example.order}`), "pipeline:\n", "pipeline:\n  overlap: reject\n", 1), midnight)
	e := Incoming{ID: "1", Source: "/shop", Type: "com.example.order"}
	must(inbox.Accept(ctx, []Incoming{e}, "", "ann"))(t)
	e.ID = "2"
	for _, again := range []bool{false, true} {
		got := must(inbox.Accept(ctx, []Incoming{e}, "", "ann"))(t)
		if len(got) != 1 || got[0].Run != "" || got[0].Again != again || !strings.Contains(got[0].Reason, "overlap is reject") {
			t.Errorf("%+v", got)
		}
	}
	var told []string
	for _, e := range feed(t, s.store) {
		if e.Type == ridgeline.EventRefused {
			var data struct{ Source, ID, Reason string }
			ok(t, json.Unmarshal(e.Data, &data))
			told = append(told, data.Source+" "+data.ID)
		}
	}
	same(t, told, []string{"/shop 2"})
}

func TestInbox_Look(t *testing.T) {
	ctx := t.Context()
	s := newScene(t)
	inbox, looked := newInbox(t, s)
	must(inbox.Accept(ctx, []Incoming{
		{ID: "1", Source: "s3://raw", Type: "s3:ObjectCreated:Put", Objects: []string{"s3://raw/sales/a.csv"}},
		{ID: "2", Source: "s3://raw", Type: "s3:ObjectCreated:Put", Objects: []string{"s3://raw/sales/b.csv"}},
		{ID: "3", Source: "s3://raw", Type: "s3:ObjectCreated:Put", Objects: []string{"s3://raw/other/c.csv", "s3://raw/stock/d.csv", "azblob://other/stock/d.csv"}},
	}, "", "ann"))(t)
	same(t, *looked, []string{"iris/sales event s3:ObjectCreated:Put s3://raw/1 ann"})
	blob := Incoming{ID: "4", Source: "/x", Type: "Microsoft.Storage.BlobCreated", Objects: []string{"azblob://raw/stock/2026/d.csv"}}
	got := must(inbox.Accept(ctx, []Incoming{blob}, "iris", "ann"))(t)
	if len(got) != 1 || got[0].Dataset != "stock" || got[0].Arrival != "a-1" || got[0].Run != "" || len(*looked) != 2 {
		t.Errorf("%+v, looked at %v", got, *looked)
	}
	// What can never be looked at is said; what cannot be now is to come again.
	inbox.Data.(*sources).err = ridgeline.Errorf(ridgeline.Denied, "no credentials for s3://raw")
	if got := must(inbox.Accept(ctx, []Incoming{blob}, "", "ann"))(t); got[0].Reason != "no credentials for s3://raw" {
		t.Errorf("%+v", got)
	}
	inbox.Data.(*sources).err = ridgeline.Errorf(ridgeline.Unavailable, "the bucket does not answer")
	_, err := inbox.Accept(ctx, []Incoming{blob}, "", "ann")
	refused(t, err, ridgeline.Unavailable, "does not answer")
}
