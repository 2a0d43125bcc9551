package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// Webhook is an address that is told of events. Secret is there once, when it
// is made.
type Webhook struct {
	ID         string     `json:"id"`
	URL        string     `json:"url"`
	Project    string     `json:"project,omitempty" doc:"only this one's events"`
	Types      []string   `json:"types" doc:"patterns of event types; empty: all"`
	Caller     string     `json:"caller"`
	Created    time.Time  `json:"created"`
	Secret     string     `json:"secret,omitempty" doc:"what its messages are signed with"`
	Deliveries []Delivery `json:"deliveries,omitempty" doc:"newest first"`
}

// Delivery is an event on its way to a webhook.
type Delivery struct {
	ID       string     `json:"id"`
	Event    string     `json:"event" doc:"id of the event, the header webhook-id"`
	Type     string     `json:"type"`
	Subject  string     `json:"subject"`
	State    string     `json:"state" enum:"pending,delivered,given up"`
	Attempts int        `json:"attempts"`
	Code     int        `json:"code" doc:"HTTP status of the last attempt's answer; 0 when there was none"`
	Message  string     `json:"message,omitempty" doc:"what was wrong with it"`
	Created  time.Time  `json:"created"`
	Next     *time.Time `json:"next,omitempty" doc:"when it is tried again"`
	Ended    *time.Time `json:"ended,omitempty"`
}

// Event is something that has changed.
type Event struct {
	Seq     int64           `json:"seq" doc:"place in the feed: ask for what is after the last one seen"`
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Project string          `json:"project,omitempty"`
	Subject string          `json:"subject" doc:"what changed, as a path below /api/v1/"`
	Time    time.Time       `json:"time"`
	Data    json.RawMessage `json:"data"`
}

// Schedule is a timetable at work.
type Schedule struct {
	Project string            `json:"project"`
	Kind    string            `json:"kind" enum:"run,nightly"`
	Cron    string            `json:"cron"`
	Zone    string            `json:"zone"`
	Missed  string            `json:"missed" enum:"skip,once,all"`
	Params  map[string]string `json:"params,omitempty"`
	Due     time.Time         `json:"due" doc:"next"`
	Last    *time.Time        `json:"last" doc:"due time that was dealt with last"`
	Started string            `json:"started" doc:"run or build that it started"`
	Reason  string            `json:"reason" doc:"why it started none"`
	Skipped int               `json:"skipped" doc:"due times that started nothing"`
	Paused  *time.Time        `json:"paused" doc:"since when the project's schedules are off"`
}

func viewWebhook(s ridgeline.Subscription) Webhook {
	return Webhook{ID: s.ID, URL: s.URL, Project: string(s.Project), Types: append([]string{}, s.Types...), Caller: s.Caller, Created: s.Created}
}

func viewDelivery(d ridgeline.Delivery) Delivery {
	out := Delivery{
		ID: d.ID, Event: d.Event, Type: d.Type, Subject: d.Subject, State: string(d.State), Attempts: d.Attempts, Code: d.Code,
		Message: d.Message, Created: d.Created, Ended: optional(d.Ended),
	}
	if d.State == ridgeline.DeliveryPending {
		out.Next = optional(d.Next)
	}
	return out
}

func viewEvent(e ridgeline.Event) Event {
	return Event{Seq: e.Seq, ID: e.ID, Type: e.Type, Project: string(e.Project), Subject: e.Subject, Time: e.At, Data: e.Data}
}

func viewSchedule(s ridgeline.Schedule) Schedule {
	return Schedule{
		Project: string(s.Project), Kind: s.Kind, Cron: s.Cron, Zone: s.Zone, Missed: s.Missed, Params: s.Params, Due: s.Due,
		Last: optional(s.Last), Started: s.Started, Reason: s.Reason, Skipped: s.Skipped, Paused: optional(s.Paused),
	}
}

type webhookInput struct {
	Body struct {
		URL     string   `json:"url" maxLength:"2000"`
		Project string   `json:"project,omitempty" doc:"only this one's events"`
		Types   []string `json:"types,omitempty" maxItems:"50" doc:"patterns of event types; none: all"`
		Secret  string   `json:"secret,omitempty" doc:"whsec_ and base64 of 24 to 64 bytes; default: a new one"`
	}
}

func (a *API) webhooks(api huma.API) {
	tags := []string{"webhooks"}
	route(a, api, huma.Operation{
		OperationID: "add-webhook", Method: http.MethodPost, Path: "/webhooks", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Have an address told of events; its secret is shown this once",
	}, ridgeline.Admin, func(ctx context.Context, in *webhookInput) (Webhook, error) {
		sub, secret, err := a.Webhooks.Add(ctx, ridgeline.Subscription{
			URL: in.Body.URL, Project: ridgeline.ProjectName(in.Body.Project), Types: in.Body.Types, Caller: auth.From(ctx).Name,
		}, in.Body.Secret)
		out := viewWebhook(sub)
		out.Secret = secret
		return out, err
	})
	route(a, api, huma.Operation{OperationID: "list-webhooks", Method: http.MethodGet, Path: "/webhooks", Summary: "Webhooks, newest first", Tags: tags},
		ridgeline.Admin, func(ctx context.Context, _ *struct{}) ([]Webhook, error) {
			rows, err := a.Store.Subscriptions(ctx)
			return list(rows, viewWebhook), err
		})
	route(a, api, huma.Operation{OperationID: "show-webhook", Method: http.MethodGet, Path: "/webhooks/{id}", Summary: "One webhook with its last deliveries", Tags: tags},
		ridgeline.Admin, func(ctx context.Context, in *struct {
			ID    string `path:"id"`
			Limit int    `query:"limit" default:"20" minimum:"1" maximum:"1000"`
		}) (Webhook, error) {
			sub, err := a.Store.Subscription(ctx, in.ID)
			if err != nil {
				return Webhook{}, err
			}
			rows, err := a.Store.Deliveries(ctx, store.Target{Kind: ridgeline.DeliveryWebhook, Name: in.ID}, in.Limit)
			out := viewWebhook(sub)
			out.Deliveries = list(rows, viewDelivery)
			return out, err
		})
	route(a, api, huma.Operation{OperationID: "remove-webhook", Method: http.MethodPost, Path: "/webhooks/{id}/remove", Summary: "End a webhook; what was still to be sent to it is not", Tags: tags},
		ridgeline.Admin, func(ctx context.Context, in *byID) (Webhook, error) {
			sub, err := a.Store.Subscription(ctx, in.ID)
			if err != nil {
				return Webhook{}, err
			}
			return viewWebhook(sub), a.Store.RemoveSubscription(ctx, in.ID)
		})
	route(a, api, huma.Operation{OperationID: "test-webhook", Method: http.MethodPost, Path: "/webhooks/{id}/test", Summary: "Send a webhook an event that nothing caused", Tags: tags, DefaultStatus: http.StatusAccepted},
		ridgeline.Admin, func(ctx context.Context, in *byID) (Delivery, error) {
			d, err := a.Webhooks.Test(ctx, in.ID)
			return viewDelivery(d), err
		})
	route(a, api, huma.Operation{OperationID: "show-delivery", Method: http.MethodGet, Path: "/deliveries/{id}", Summary: "One delivery", Tags: tags},
		ridgeline.Admin, func(ctx context.Context, in *byID) (Delivery, error) {
			d, err := a.Store.Delivery(ctx, in.ID)
			return viewDelivery(d), err
		})
	route(a, api, huma.Operation{OperationID: "redeliver", Method: http.MethodPost, Path: "/deliveries/{id}/redeliver", Summary: "Send a delivery once more, whatever became of it", Tags: tags, DefaultStatus: http.StatusAccepted},
		ridgeline.Admin, func(ctx context.Context, in *byID) (Delivery, error) {
			d, err := a.Store.Redeliver(ctx, in.ID, time.Now())
			return viewDelivery(d), err
		})
}

func (a *API) schedules(api huma.API) {
	tags := []string{"schedules"}
	of := func(ctx context.Context, project string) ([]Schedule, error) {
		rows, err := a.Store.Schedules(ctx, store.ScheduleFilter{Project: ridgeline.ProjectName(project)})
		return list(rows, viewSchedule), err
	}
	route(a, api, huma.Operation{OperationID: "list-schedules", Method: http.MethodGet, Path: "/schedules", Summary: "Schedules, the next due first", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *struct {
			Project string `query:"project"`
		}) ([]Schedule, error) {
			return of(ctx, in.Project)
		})
	for verb, do := range map[string]func(context.Context, ridgeline.ProjectName) error{
		"pause":  func(ctx context.Context, p ridgeline.ProjectName) error { return a.Schedules.Pause(ctx, p) },
		"resume": func(ctx context.Context, p ridgeline.ProjectName) error { return a.Schedules.Resume(ctx, p) },
	} {
		route(a, api, huma.Operation{
			OperationID: verb + "-schedules", Method: http.MethodPost, Path: "/projects/{project}/schedules/" + verb, Tags: tags,
			Summary: map[string]string{"pause": "Let a project's schedules start nothing", "resume": "Let them go on, from their next due times on"}[verb],
		}, ridgeline.Writer, func(ctx context.Context, in *struct {
			Project string `path:"project"`
		}) ([]Schedule, error) {
			if err := do(ctx, ridgeline.ProjectName(in.Project)); err != nil {
				return nil, err
			}
			return of(ctx, in.Project)
		})
	}
}
