package api

import (
	"context"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/trigger"
)

// eventsInput is a request with events in it, in any of the forms that package
// trigger reads.
type eventsInput struct {
	Project string `query:"project" doc:"only this project may start; default: all that ask for such events"`
	header  http.Header
	body    io.Reader
}

// Resolve keeps hold of the body, which an event in binary mode may lack, and
// of the headers, where that mode has the event's attributes.
func (e *eventsInput) Resolve(ctx huma.Context) []error {
	e.header = http.Header{}
	ctx.EachHeader(e.header.Add)
	e.body = ctx.BodyReader()
	return nil
}

// Outcome is what came of an event in a project.
type Outcome struct {
	Source  string `json:"source"`
	ID      string `json:"id"`
	Type    string `json:"type"`
	Project string `json:"project"`
	Run     string `json:"run,omitempty" doc:"that it started"`
	Again   bool   `json:"again,omitempty" doc:"it came before; this is what came of it then"`
	Reason  string `json:"reason,omitempty" doc:"why it started none"`
	Dataset string `json:"dataset,omitempty" doc:"that was looked at for new data"`
	Arrival string `json:"arrival,omitempty" doc:"of what is new there"`
}

// Received answers events.
type Received struct {
	Events   int       `json:"events"`
	Outcomes []Outcome `json:"outcomes"`
	// Event Grid reads its own code here when it asks whether its events are wanted.
	ValidationResponse string `json:"validationResponse,omitempty"`
}

type receivedAnswer struct {
	Status int
	Body   Received
}

type handshake struct {
	Origin string `header:"WebHook-Allowed-Origin"`
	Rate   string `header:"WebHook-Allowed-Rate"`
	Allow  string `header:"Allow"`
}

func (a *API) events(api huma.API) {
	tags := []string{"events"}
	route(a, api, huma.Operation{OperationID: "list-events", Method: http.MethodGet, Path: "/events", Summary: "What has changed, in order: a feed", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *struct {
			Project string `query:"project"`
			After   int64  `query:"after" minimum:"0" doc:"seq of the last event seen"`
			Newest  bool   `query:"newest" doc:"of more than limit, the last ones; still oldest first"`
			Limit   int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
		}) ([]Event, error) {
			rows, err := a.Store.Events(ctx, store.EventFilter{Project: ridgeline.ProjectName(in.Project), After: in.After, Limit: in.Limit, Newest: in.Newest})
			return list(rows, viewEvent), err
		})
	answer(a, api, huma.Operation{
		OperationID: "receive-events", Method: http.MethodPost, Path: "/events", Tags: tags,
		Summary: "Take events that may start runs: CloudEvents 1.0, Azure Event Grid's, S3 notifications", DefaultStatus: http.StatusAccepted,
		RequestBody: &huma.RequestBody{Description: "One event, or a batch", Content: map[string]*huma.MediaType{
			"application/cloudevents+json": {}, "application/cloudevents-batch+json": {}, "application/json": {},
		}},
	}, ridgeline.Writer, a.receive)
	answer(a, api, huma.Operation{
		OperationID: "allow-events", Method: http.MethodOptions, Path: "/events", Tags: tags, DefaultStatus: http.StatusOK,
		Summary: "CloudEvents' handshake: yes, this origin may send events",
	}, ridgeline.Writer, func(_ context.Context, in *struct {
		Origin string `header:"WebHook-Request-Origin"`
	}) (*handshake, error) {
		out := &handshake{Allow: "GET, OPTIONS, POST"}
		if in.Origin != "" {
			out.Origin, out.Rate = in.Origin, "*"
		}
		return out, nil
	})
}

func (a *API) receive(ctx context.Context, in *eventsInput) (*receivedAnswer, error) {
	text, err := io.ReadAll(io.LimitReader(in.body, trigger.MaxEvents+1))
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "the request's body broke off: %v", err)
	}
	if len(text) > trigger.MaxEvents {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "the request is over %d KiB: send the events in smaller batches", trigger.MaxEvents>>10)
	}
	events, err := trigger.ReadEvents(in.header, text)
	if err != nil {
		return nil, err
	}
	if code := trigger.Validation(events); code != "" {
		// Event Grid takes no other status for a yes.
		return &receivedAnswer{Status: http.StatusOK, Body: Received{Events: len(events), Outcomes: []Outcome{}, ValidationResponse: code}}, nil
	}
	rows, err := a.Inbox.Accept(ctx, events, ridgeline.ProjectName(in.Project), auth.From(ctx).Name)
	if err != nil {
		return nil, err
	}
	return &receivedAnswer{Status: http.StatusAccepted, Body: Received{Events: len(events), Outcomes: list(rows, func(o trigger.Outcome) Outcome {
		return Outcome{
			Source: o.Source, ID: o.ID, Type: o.Type, Project: string(o.Project), Run: string(o.Run), Again: o.Again, Reason: o.Reason, Dataset: o.Dataset, Arrival: string(o.Arrival),
		}
	})}}, nil
}
