package trigger

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// MaxEvents is how large a request with events may be, in bytes. Event Grid
// sends 1 MB at most; CloudEvents asks receivers to take 64 KiB.
const MaxEvents = 1 << 20

// An Incoming is an event from outside.
type Incoming struct {
	ID, Source, Type, Subject string
	Objects                   []string // that it says were written, such as s3://bucket/key
	validation                string   // Event Grid's code: it asks whether we want its events
}

// cloudEvent is the JSON format of CloudEvents 1.0, with the fields of Event
// Grid's own schema, which is older.
type cloudEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject"`
	Time        string          `json:"time"`
	Data        json.RawMessage `json:"data"`

	EventType string          `json:"eventType"`
	Topic     string          `json:"topic"`
	Records   json.RawMessage `json:"Records"` // of an S3 notification
}

// ReadEvents reads a request's events: CloudEvents 1.0 in binary, structured
// and batched mode (HTTP protocol binding 1.0.2), Azure Event Grid's schema,
// and S3's notifications, as Amazon, MinIO and others send them.
func ReadEvents(h http.Header, body []byte) ([]Incoming, error) {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil && h.Get("Ce-Id") == "" {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "content type %q: send application/cloudevents+json, or the attributes as ce- headers", h.Get("Content-Type"))
	}
	switch {
	case kind == "application/cloudevents+json":
		return one(body)
	case kind == "application/cloudevents-batch+json":
		return batch(body)
	case h.Get("Ce-Id") != "" || h.Get("Ce-Specversion") != "":
		return binary(h, kind, body)
	case kind == "application/json" && strings.HasPrefix(strings.TrimSpace(string(body)), "["):
		return batch(body) // Event Grid
	case kind == "application/json":
		return one(body)
	}
	return nil, ridgeline.Errorf(ridgeline.Invalid, "content type %q has no events: send application/cloudevents+json, application/cloudevents-batch+json, or the attributes as ce- headers", kind)
}

func one(body []byte) ([]Incoming, error) {
	var e cloudEvent
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "the event is no JSON object as CloudEvents has it: %v", err)
	}
	return read([]cloudEvent{e})
}

func batch(body []byte) ([]Incoming, error) {
	var all []cloudEvent
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "the batch is no JSON array of events: %v", err)
	}
	return read(all)
}

// binary reads the binary mode: attributes are headers, percent-encoded.
func binary(h http.Header, kind string, body []byte) ([]Incoming, error) {
	get := func(name string) string {
		text := strings.Trim(h.Get("Ce-"+name), `"`)
		if plain, err := url.PathUnescape(text); err == nil {
			return plain
		}
		return text
	}
	e := cloudEvent{SpecVersion: get("specversion"), ID: get("id"), Source: get("source"), Type: get("type"), Subject: get("subject"), Time: get("time")}
	if strings.HasSuffix(kind, "json") && json.Valid(body) {
		e.Data = body
	}
	return read([]cloudEvent{e})
}

func read(all []cloudEvent) ([]Incoming, error) {
	var out []Incoming
	for i, e := range all {
		if len(e.Records) > 0 {
			more, err := s3(e.Records)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
			continue
		}
		if e.SpecVersion == "" && e.EventType != "" { // Event Grid's schema
			e.SpecVersion, e.Source, e.Type = "1.0", e.Topic, e.EventType
		}
		if err := e.check(i); err != nil {
			return nil, err
		}
		in := Incoming{ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject, Objects: e.objects()}
		if e.Type == "Microsoft.EventGrid.SubscriptionValidationEvent" {
			var data struct{ ValidationCode string }
			_ = json.Unmarshal(e.Data, &data)
			in.validation = data.ValidationCode
		}
		out = append(out, in)
	}
	return out, nil
}

// longest is how long an attribute may be, in bytes.
const longest = 1024

// check wants what CloudEvents requires of every event.
func (e cloudEvent) check(i int) error {
	if e.SpecVersion != "1.0" {
		return ridgeline.Errorf(ridgeline.Invalid, "event %d has specversion %q: expected 1.0", i+1, clip(e.SpecVersion))
	}
	for name, value := range map[string]string{"id": e.ID, "source": e.Source, "type": e.Type} {
		if value == "" {
			return ridgeline.Errorf(ridgeline.Invalid, "event %d has no %s: CloudEvents requires id, source, type and specversion", i+1, name)
		}
		if len(value) > longest {
			return ridgeline.Errorf(ridgeline.Invalid, "event %d: its %s has %d bytes, the limit is %d", i+1, name, len(value), longest)
		}
	}
	if e.Time != "" {
		if _, err := time.Parse(time.RFC3339, e.Time); err != nil {
			return ridgeline.Errorf(ridgeline.Invalid, "event %d: time %q is not as RFC 3339 has it, such as 2026-03-01T12:00:00Z", i+1, clip(e.Time))
		}
	}
	return nil
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// objects are the files that the event says were written, where it is one of
// the clouds' own.
func (e cloudEvent) objects() []string {
	switch e.Type {
	case "Microsoft.Storage.BlobCreated": // subject: /blobServices/default/containers/C/blobs/PATH
		container, key, found := strings.Cut(strings.TrimPrefix(e.Subject, "/blobServices/default/containers/"), "/blobs/")
		if found {
			return []string{"azblob://" + container + "/" + key}
		}
	case "google.cloud.storage.object.v1.finalized": // source: //storage.googleapis.com/projects/_/buckets/B, subject: objects/PATH
		bucket, isBucket := strings.CutPrefix(e.Source, "//storage.googleapis.com/projects/_/buckets/")
		key, isObject := strings.CutPrefix(e.Subject, "objects/")
		if isBucket && isObject {
			return []string{"gs://" + bucket + "/" + key}
		}
	}
	return nil
}

// s3 reads the records of an S3 notification. What one says of deletions and
// restores is left out. A record becomes an event whose id is the sequencer
// of the change, so that it is the same when it is sent again.
func s3(records json.RawMessage) ([]Incoming, error) {
	var all []struct {
		EventSource string `json:"eventSource"`
		EventName   string `json:"eventName"`
		S3          struct {
			Bucket struct {
				Name string `json:"name"`
			} `json:"bucket"`
			Object struct {
				Key       string `json:"key"`
				ETag      string `json:"eTag"`
				Sequencer string `json:"sequencer"`
			} `json:"object"`
		} `json:"s3"`
	}
	if err := json.Unmarshal(records, &all); err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "the Records are not those of an S3 notification: %v", err)
	}
	var out []Incoming
	for _, r := range all {
		name := strings.TrimPrefix(r.EventName, "s3:")
		if !strings.HasPrefix(name, "ObjectCreated:") {
			continue
		}
		key, err := url.QueryUnescape(r.S3.Object.Key) // keys are encoded as in a form
		if err != nil || r.S3.Bucket.Name == "" || key == "" || len(key) > longest {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "an S3 notification names no object, or one that cannot be read: %q in %q", clip(r.S3.Object.Key), clip(r.S3.Bucket.Name))
		}
		out = append(out, Incoming{
			ID: key + " " + r.S3.Object.Sequencer + r.S3.Object.ETag, Source: "s3://" + r.S3.Bucket.Name, Type: "s3:" + name, Subject: key,
			Objects: []string{"s3://" + r.S3.Bucket.Name + "/" + key},
		})
	}
	return out, nil
}
