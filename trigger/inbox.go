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
// it says were written. All fields but Look are needed.
type Inbox struct {
	Store  *store.Store
	Config func(ctx context.Context, p ridgeline.Pipeline) (project.Config, error)
	Create func(ctx context.Context, tx *store.Store, q pipeline.Request) (ridgeline.Run, error)
	// Started says that a run is committed.
	Started func(ctx context.Context, id ridgeline.RunID) error
	// Look has a dataset's source looked at for new data.
	Look func(ctx context.Context, p ridgeline.ProjectName, dataset string) error
	Log  *slog.Logger

	mu      sync.Mutex
	configs map[ridgeline.ProjectName]published
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
	Run     ridgeline.RunID // it started; empty: none
	Again   bool            // the event came before, and this is what came of it then
	Reason  string          // why it started none
	Dataset string          // that is looked at
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
		more, err := b.look(ctx, p.Name, cfg, events)
		if err != nil {
			return all, err
		}
		all = append(all, more...)
	}
	return all, nil
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
			Project: p, Params: f.Params, Caller: caller, Cause: "event " + e.Type + " " + strings.TrimSuffix(e.Source, "/") + "/" + e.ID,
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

// look has the project's datasets looked at whose files were written.
func (b *Inbox) look(ctx context.Context, p ridgeline.ProjectName, cfg project.Config, events []Incoming) ([]Outcome, error) {
	if b.Look == nil {
		return nil, nil
	}
	var all []Outcome
	for _, d := range cfg.Data {
		for _, e := range events {
			if !covers(d, e.Objects) {
				continue
			}
			if err := b.Look(ctx, p, d.Name); err != nil {
				return all, err
			}
			all = append(all, Outcome{Source: e.Source, ID: e.ID, Type: e.Type, Project: p, Dataset: d.Name})
			break // it is looked at as a whole
		}
	}
	return all, nil
}

// covers reports whether one of the objects is a file of the dataset.
func covers(d project.Dataset, objects []Object) bool {
	address, _, _ := strings.Cut(d.Path, "?") // what follows is for the driver
	scheme, rest, remote := strings.Cut(address, "://")
	if !remote {
		return false
	}
	bucket, pattern, _ := strings.Cut(rest, "/")
	for _, o := range objects {
		if o.Scheme == scheme && o.Bucket == bucket && (pattern == "" || project.Match(pattern, o.Key)) {
			return true
		}
	}
	return false
}
