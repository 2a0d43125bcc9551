package ridgeline

import (
	"encoding/json"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// An Event says that something has changed. It is written in the transaction
// of the change itself, so there is one if and only if the change lasts.
type Event struct {
	Seq     int64       // its place in the feed, from 1 and without gaps; 0 until it was passed on
	ID      string      // e-…
	Type    string      // one of EventTypes
	Project ProjectName // empty for what belongs to none
	Subject string      // what changed, as a path below /api/v1/: runs/r-…, models/diabetes/versions/3
	Data    json.RawMessage
	At      time.Time
}

// EventPrefix is what the types of all our events start with.
const EventPrefix = "dev.ridgeline."

// The types of events that have no status in them. Builds, runs and releases
// have one type for each status: see StatusEvent.
const (
	EventPipelinePublished  = EventPrefix + "pipeline.published"
	EventModelRegistered    = EventPrefix + "model.registered"    // whatever its verdict
	EventModelPromoted      = EventPrefix + "model.promoted"      // it is champion now, by the gate or by a person
	EventDatasetAccepted    = EventPrefix + "dataset.accepted"    // an arrival that passed its checks
	EventDatasetQuarantined = EventPrefix + "dataset.quarantined" // one that did not
	EventDeploymentLive     = EventPrefix + "deployment.live"     // an environment answers with it from now on, or may
	EventDeploymentRetired  = EventPrefix + "deployment.retired"
	EventTrafficChanged     = EventPrefix + "traffic.changed"  // an endpoint's requests are shared otherwise
	EventScheduleSkipped    = EventPrefix + "schedule.skipped" // a due time that started nothing
	EventRefused            = EventPrefix + "event.refused"    // an event from outside that could start nothing
	EventBudgetExceeded     = EventPrefix + "budget.exceeded"  // a month has cost more than was meant: once a budget
	EventWebhookTest        = EventPrefix + "webhook.test"     // sent on request to one webhook only
)

// StatusEvent is the type of the event that a "build", "run" or "release"
// has come to the status.
func StatusEvent(noun string, s Status) string {
	word := string(s)
	if s == Running {
		word = "started"
	}
	return EventPrefix + noun + "." + word
}

// EventTypes lists every type there is, sorted.
func EventTypes() []string {
	all := []string{
		EventPipelinePublished, EventModelRegistered, EventModelPromoted, EventDatasetAccepted, EventDatasetQuarantined,
		EventDeploymentLive, EventDeploymentRetired, EventTrafficChanged, EventScheduleSkipped, EventRefused, EventBudgetExceeded, EventWebhookTest,
		StatusEvent("release", Waiting), // for a person's approval
	}
	for _, noun := range []string{"build", "run", "release"} {
		for _, s := range []Status{Queued, Running, Succeeded, Failed, Cancelled} {
			all = append(all, StatusEvent(noun, s))
		}
	}
	slices.Sort(all)
	return all
}

// A Delivery is an event on its way to one target. It is kept until the
// target has taken it, or until nobody tries any longer.
type Delivery struct {
	ID       string // w-…
	Kind     string // who sends it: DeliveryWebhook, DeliveryStatus
	Target   string // where to, in that sender's words; one target's deliveries go one after the other
	Body     []byte // what that sender needs to know, JSON
	Event    string // the event's id, its Seq, Type, Project and Subject
	Seq      int64
	Type     string
	Project  ProjectName
	Subject  string
	State    DeliveryState
	Attempts int
	Code     int    // HTTP status of the last attempt's answer; 0 when there was none
	Message  string // what was wrong with it
	Next     time.Time
	Since    time.Time // when it was first to be sent, or was asked for again
	Created  time.Time
	Ended    time.Time
}

// The kinds of deliveries.
const (
	DeliveryWebhook = "webhook" // a CloudEvent to a Subscription, which is the target
	DeliveryStatus  = "status"  // a commit's status to a forge
)

// DeliveryState is how far a delivery has come.
type DeliveryState string

// A delivery is pending until it was taken, or given up: refused for good, or
// tried for too long.
const (
	DeliveryPending DeliveryState = "pending"
	DeliveryDone    DeliveryState = "delivered"
	DeliveryGivenUp DeliveryState = "given up"
)

// A Subscription is a webhook: an address that is told of events.
type Subscription struct {
	ID      string // h-…
	URL     string
	Project ProjectName // only this one's events; empty: everybody's
	Types   []string    // path.Match patterns of event types; empty: all
	Secret  string      // what its messages are signed with, sealed
	Caller  string      // the principal who made it
	Created time.Time
}

// Check wants an address that can be asked and patterns that can match.
func (s Subscription) Check() error {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return Errorf(Invalid, "webhook address %q: expected one such as https://example.com/hook", s.URL)
	case u.User != nil:
		return Errorf(Invalid, "webhook address with a user name or password in it: leave them out, a message proves itself by its signature")
	case u.Fragment != "":
		return Errorf(Invalid, "webhook address %q: leave out what is behind the #, it is never sent", s.URL)
	}
	for _, pattern := range s.Types {
		matches := func(t string) bool { ok, err := path.Match(pattern, t); return ok && err == nil }
		if !slices.ContainsFunc(EventTypes(), matches) {
			return Errorf(Invalid, "no type of event matches %q: the types are %s", pattern, strings.Join(EventTypes(), ", "))
		}
	}
	return nil
}

// Wants reports whether the subscription is to be told of the event.
func (s Subscription) Wants(e Event) bool {
	if s.Project != "" && s.Project != e.Project || e.Type == EventWebhookTest {
		return false
	}
	return len(s.Types) == 0 || slices.ContainsFunc(s.Types, func(pattern string) bool {
		ok, err := path.Match(pattern, e.Type)
		return ok && err == nil
	})
}
