package trigger

import (
	"context"
	"log/slog"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// An Inbox takes events from outside: each may start a run of every project
// whose newest pipeline asks for it, and have datasets looked at whose files
// it says were written. All fields are needed.
type Inbox struct {
	Store  *store.Store
	Config func(ctx context.Context, p ridgeline.Pipeline) (project.Config, error)
	Create func(ctx context.Context, tx *store.Store, q pipeline.Request) (ridgeline.Run, error)
	// Started says that a run is committed.
	Started func(ctx context.Context, id ridgeline.RunID) error
	Data    Data
	Log     *slog.Logger

	mu      sync.Mutex
	configs map[ridgeline.ProjectName]published
}

// Data is package intake as events need it.
type Data interface {
	// Covers finds the datasets that an object such as s3://bucket/key belongs to.
	Covers(ctx context.Context, address string) ([]ridgeline.Dataset, error)
	// Look looks at a dataset's source, and returns the arrival that is under way
	// then, if any.
	Look(ctx context.Context, p ridgeline.ProjectName, dataset, cause, caller string) (ridgeline.Arrival, bool, error)
}

type published struct {
	version int
	config  project.Config
}

// An Outcome is what came of an event in a project.
type Outcome struct {
	Source  string
	ID      string
	Type    string
	Project ridgeline.ProjectName
	Run     ridgeline.RunID     // it started; empty: none
	Again   bool                // the event came before, and this is what came of it then
	Reason  string              // why it started none
	Dataset string              // that was looked at
	Arrival ridgeline.ArrivalID // of what is new there; empty: nothing is
}

// Validation is the code by which Event Grid is told that its events are
// wanted; empty when it did not ask.
func Validation(events []Incoming) string {
	for _, e := range events {
		if e.validation != "" {
			return e.validation
		}
	}
	return ""
}

// Accept deals with events for the project, or for all when it is empty. It
// returns when what the events start is committed, so whoever has sent them
// may forget them; an event that comes again starts nothing again. An error
// means that some may not have been dealt with: they are to be sent again.
func (b *Inbox) Accept(ctx context.Context, events []Incoming, only ridgeline.ProjectName, caller string) ([]Outcome, error) {
	projects, err := b.projects(ctx, only)
	if err != nil {
		return nil, err
	}
	var all []Outcome
	for _, p := range projects {
		cfg, found, err := b.config(ctx, p.Name)
		if err != nil {
			return all, err
		}
		if !found {
			continue
		}
		for _, e := range events {
			more, err := b.accept(ctx, p.Name, cfg, e, caller)
			if err != nil {
				return all, err
			}
			all = append(all, more...)
		}
	}
	more, err := b.look(ctx, events, only, caller)
	return append(all, more...), err
}

func (b *Inbox) projects(ctx context.Context, only ridgeline.ProjectName) ([]ridgeline.Project, error) {
	if only == "" {
		return b.Store.Projects(ctx)
	}
	p, err := b.Store.Project(ctx, only)
	return []ridgeline.Project{p}, err
}

// config is that of the project's newest pipeline, if there is one.
func (b *Inbox) config(ctx context.Context, p ridgeline.ProjectName) (project.Config, bool, error) {
	row, err := b.Store.Pipeline(ctx, p, 0)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return project.Config{}, false, nil
	}
	if err != nil {
		return project.Config{}, false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if known := b.configs[p]; known.version == row.Version {
		return known.config, true, nil
	}
	cfg, err := b.Config(ctx, row)
	if err != nil {
		return project.Config{}, false, err
	}
	if b.configs == nil {
		b.configs = map[ridgeline.ProjectName]published{}
	}
	b.configs[p] = published{row.Version, cfg}
	return cfg, true, nil
}

// accept starts the run that the first of the project's filters that fit asks
// for.
func (b *Inbox) accept(ctx context.Context, p ridgeline.ProjectName, cfg project.Config, e Incoming, caller string) ([]Outcome, error) {
	for _, f := range cfg.Pipeline.On.Events {
		if !fits(f.Type, e.Type) || !fits(f.Source, e.Source) {
			continue
		}
		o, err := b.start(ctx, p, f, e, caller)
		if err != nil {
			return nil, err
		}
		if o.Run != "" && !o.Again {
			if err := b.Started(ctx, o.Run); err != nil {
				return nil, err
			}
		}
		return []Outcome{o}, nil
	}
	return nil, nil
}

func fits(pattern, text string) bool {
	if pattern == "" {
		return true
	}
	ok, err := path.Match(pattern, text)
	return ok && err == nil
}

// start creates the run and notes the event in one transaction.
func (b *Inbox) start(ctx context.Context, p ridgeline.ProjectName, f project.EventFilter, e Incoming, caller string) (Outcome, error) {
	o := Outcome{Source: e.Source, ID: e.ID, Type: e.Type, Project: p}
	err := b.Store.InTx(ctx, func(tx *store.Store) error {
		seen, first, err := tx.TakeEvent(ctx, store.AcceptedEvent{Project: p, Source: e.Source, ID: e.ID, Type: e.Type, At: time.Now().UTC()})
		if err != nil {
			return err
		}
		if !first {
			o.Run, o.Reason, o.Again = seen.Run, seen.Reason, true
			return nil
		}
		run, err := b.Create(ctx, tx, pipeline.Request{
			Project: p, Params: f.Params, Caller: caller, Cause: cause(e),
		})
		switch {
		case refusal(err):
			seen.Reason = err.Error()
		case err != nil:
			return err
		}
		seen.Run = run.ID
		o.Run, o.Reason, o.Again = seen.Run, seen.Reason, false
		if err := tx.NoteEvent(ctx, seen); err != nil || seen.Reason == "" {
			return err
		}
		return tx.EmitSkipped(ctx, ridgeline.EventRefused, p, struct {
			Project ridgeline.ProjectName `json:"project"`
			Source  string                `json:"source"`
			ID      string                `json:"id"`
			Type    string                `json:"type"`
			Reason  string                `json:"reason"`
		}{p, e.Source, e.ID, e.Type, seen.Reason})
	})
	return o, err
}

// look has the datasets looked at whose files were written, each once. One
// that cannot be looked at just now is the sender's to tell of again; one that
// never can be says so in its own place, and does not hold up the others.
func (b *Inbox) look(ctx context.Context, events []Incoming, only ridgeline.ProjectName, caller string) ([]Outcome, error) {
	type place struct {
		project ridgeline.ProjectName
		dataset string
	}
	looked := map[place]bool{}
	var all []Outcome
	for _, e := range events {
		for _, address := range e.Objects {
			sets, err := b.Data.Covers(ctx, address)
			if err != nil {
				return all, err
			}
			for _, d := range sets {
				at := place{d.Project, d.Name}
				if looked[at] || only != "" && d.Project != only {
					continue
				}
				looked[at] = true
				o := Outcome{Source: e.Source, ID: e.ID, Type: e.Type, Project: d.Project, Dataset: d.Name}
				a, _, err := b.Data.Look(ctx, d.Project, d.Name, cause(e), caller)
				switch {
				case refusal(err):
					o.Reason = err.Error()
				case err != nil:
					return all, err
				}
				o.Arrival = a.ID
				all = append(all, o)
			}
		}
	}
	return all, nil
}

// cause is how a run, or an arrival, says that the event was the reason.
func cause(e Incoming) string {
	return "event " + e.Type + " " + strings.TrimSuffix(e.Source, "/") + "/" + e.ID
}
