package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/forge"
	"github.com/ridgeline-mlops/ridgeline/gateway"
	"github.com/ridgeline-mlops/ridgeline/gc"
	"github.com/ridgeline-mlops/ridgeline/git"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/courier"
	"github.com/ridgeline-mlops/ridgeline/host/kube"
	"github.com/ridgeline-mlops/ridgeline/host/process"
	"github.com/ridgeline-mlops/ridgeline/image"
	"github.com/ridgeline-mlops/ridgeline/intake"
	"github.com/ridgeline-mlops/ridgeline/internal/tracing"
	"github.com/ridgeline-mlops/ridgeline/mlflow"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/prediction"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/pyenv"
	"github.com/ridgeline-mlops/ridgeline/release"
	"github.com/ridgeline-mlops/ridgeline/scope"
	"github.com/ridgeline-mlops/ridgeline/server"
	"github.com/ridgeline-mlops/ridgeline/storage"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/track"
	"github.com/ridgeline-mlops/ridgeline/trigger"
	"github.com/ridgeline-mlops/ridgeline/ui"
	"github.com/ridgeline-mlops/ridgeline/vault"
)

// serverOptions are what `up` and `demo` are told.
type serverOptions struct {
	Dir      string           // state folder
	Shared   string           // what servers of one database have in common: blobs, images, repositories; empty for Dir
	Blob     string           // s3://…, azblob://… or gs://…: a bucket that has these instead; empty: none
	Cache    int64            // MiB of the bucket's contents that this machine keeps; 0 for the usual
	Keys     string           // the folder of secret and vault-key, the same for servers of one database; empty for Shared
	Listen   string           // host:port
	Database string           // postgres://…; empty for SQLite in Dir
	Networks trigger.Networks // beyond the public Internet that webhooks may be sent to
	Slots    int              // tasks at once; 0 for the number of CPUs
	MaxPush  int64            // MiB that one git push may bring; 0 for the usual
	Settings project.Settings // of the world around the server
	Collect  time.Duration    // reclaim what nobody needs this often; 0 for never
	Drain    time.Duration    // answer for as long after a stop was asked for
	Dev      bool             // pages for those who work on pages

	PublicURL string // where others reach this server; empty: where it listens
	Log       *slog.Logger
}

var errAddress = errors.New("the address cannot be used")

// A node is one running server: all the parts, wired.
type node struct {
	options     serverOptions
	lock        *os.File
	store       *store.Store
	tracking    *track.Store
	engine      atomic.Pointer[flow.Engine] // nil until this server leads
	host        *process.Host
	cluster     *kube.Cluster // nil: none is known
	outposts    outposts      // the gateways there
	desk        *courier.Desk
	images      *image.Builder
	intake      *intake.Intake
	builds      *build.Builder
	git         *git.Server
	forges      *forge.Hub
	runs        *pipeline.Runner
	releases    *release.Releaser
	predictions *prediction.Log
	garbage     *gc.Collector
	storage     *storage.Meter
	tracer      *tracing.Tracer
	outbox      *trigger.Outbox
	due         *trigger.Schedules
	sessions    *auth.Sessions
	door        *auth.Door
	gateway     *gateway.Gateway
	server      *server.Server
	began       time.Time
	settled     atomic.Bool // it has reached what was live when it began; see ready
	stopping    atomic.Bool
	listener    net.Listener
	url         string
	cancel      context.CancelFunc
	idle        map[string]time.Time // the sweeper's: flows that nobody executes, and since when
	loops       sync.WaitGroup
}

// start opens everything below the state folder and serves. What an earlier
// server left unfinished goes on.
func start(ctx context.Context, o serverOptions) (_ *node, err error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	if o.Shared == "" {
		o.Shared = o.Dir
	}
	o.Keys = cmp.Or(o.Keys, o.Shared)
	for _, dir := range []string{o.Shared, o.Keys} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the folder that servers share: %w", err)
		}
	}
	n := &node{options: o, idle: map[string]time.Time{}, began: time.Now()}
	defer func() {
		if err != nil {
			n.release()
		}
	}()
	if n.lock, err = lockDir(o.Dir); err != nil {
		return nil, err
	}
	if n.listener, err = net.Listen("tcp", o.Listen); err != nil {
		return nil, fmt.Errorf("%w: %w; name another address with --listen (port 0 takes a free one)", errAddress, err)
	}
	n.url = "http://" + n.listener.Addr().String()
	database := o.Database
	if database == "" {
		database = "sqlite:" + n.path("ridgeline.db")
	}
	if n.store, err = store.Open(ctx, database, o.Log); err != nil {
		return nil, err
	}
	if n.tracking, err = track.Open(ctx, track.Options{URL: n.trackingURL(), Log: o.Log}); err != nil {
		return nil, err
	}
	if err := n.wire(ctx); err != nil {
		return nil, err
	}
	loops, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.cancel = cancel
	n.goLoop(func() {
		if err := n.host.Run(loops); err != nil {
			o.Log.Error("the process host stopped", "error", err)
		}
	})
	if n.store.Postgres() == nil {
		if err := n.lead(ctx, loops, nil); err != nil {
			return nil, err
		}
	} else {
		n.goLoop(func() { n.await(loops) })
	}
	n.goLoop(func() { n.reconcile(loops) })
	n.goLoop(func() { n.predictions.Run(loops) })
	n.goLoop(func() { n.storage.Run(loops) })
	n.goLoop(func() { n.releases.Metering(loops, n.leads) })
	n.goLoop(func() {
		if err := n.server.Serve(n.listener); err != nil {
			o.Log.Error("the server stopped", "error", err)
		}
	})
	// What starting took is not needed again, and a server may be idle for long.
	time.AfterFunc(5*time.Second, rest)
	return n, writeFile(n.path("url"), n.url+"\n")
}

func (n *node) path(parts ...string) string {
	return filepath.Join(append([]string{n.options.Dir}, parts...)...)
}

func (n *node) goLoop(f func()) {
	n.loops.Add(1)
	go func() {
		defer n.loops.Done()
		f()
	}()
}

// wire makes the parts and hands them to each other.
func (n *node) wire(ctx context.Context) error {
	log := n.options.Log
	secrets, err := vault.Open(n.options.Keys)
	if err != nil {
		return err
	}
	access, err := auth.New(n.options.Dir, n.options.Keys, os.Getenv("RIDGELINE_ADMIN_TOKEN"), n.store)
	if err != nil {
		return err
	}
	blobs, err := n.openBlobs(ctx, access.ServerID())
	if err != nil {
		return err
	}
	runtime, supervisor, err := unpackRuntime(n.path("runtime"))
	if err != nil {
		return err
	}
	// Nothing under tmp and the working folders is older than this process but
	// what a running flow will ask for again, and that is not under tmp.
	if err := os.RemoveAll(n.path("tmp")); err != nil {
		return err
	}
	for _, dir := range []string{"tmp", "work", "trees", "data", "arriving"} {
		if err := os.MkdirAll(n.path(dir), 0o700); err != nil {
			return err
		}
	}
	envs, err := pyenv.New(pyenv.Options{Dir: n.path("python"), Files: blobs, Log: log})
	if err != nil {
		return err
	}
	if n.images, err = image.NewBuilder(image.Options{Dir: n.path("layers"), Log: log}); err != nil {
		return err
	}
	oci, err := n.openRegistry(blobs, access.UploadSecret())
	if err != nil {
		return err
	}
	target := n.registry(inProcess{oci})
	local := &localImages{images: n.images, target: target, envs: envs, store: n.store, dir: n.path("unpacked")}
	n.host, err = process.New(process.Options{
		Dir: n.path("host"), Supervisor: []string{supervisor}, Slots: n.options.Slots, Prepare: local.prepare, Log: log,
	})
	if err != nil {
		return err
	}
	n.desk = &courier.Desk{Contents: blobs, Logs: blobs.Logs(), Notes: blobs.Objects("tasks"), Seal: access.TaskToken, Whose: access.Task, Log: log}
	library := &data.Library{Dir: n.path("data")}
	public := cmp.Or(strings.TrimSuffix(n.options.PublicURL, "/"), n.url)
	services := host.Together{"process": n.host.Services()}
	if n.cluster, err = openCluster(n.options.Settings, public, access, log); err != nil {
		return err
	}
	if n.cluster != nil {
		services["kube"] = n.cluster.Services()
	}
	if n.tracer, err = tracing.New(context.Background(), log, "ridgeline", "service.version", version()); err != nil {
		return err
	}
	entrance := gateway.New(n.store, services, access, n.tracer, log)
	n.gateway = entrance
	n.outposts = outposts{desk: n.newDesk(access), token: access.GatewayToken(), registry: target, scorer: runtime.Scorer}
	logs := blobs.Objects("predictions")
	n.releases = &release.Releaser{
		LogURL: fileURL(logs.Dir()), LogDir: n.path("journal"), RemoteLog: remoteLog(n.options.Settings.Kubernetes, n.local(), public, access), Env: tracing.Variables(os.Environ()),
		Store: n.store, Blob: blobs, Start: n.start, Services: services, Traffic: allGateways{entrance, n.outposts.desk}, Trees: n.path("trees"), Log: log,
	}
	entrance.Wake, n.outposts.desk.Wake = n.releases.Wake, n.releases.Wake
	n.intake = &intake.Intake{
		Store: n.store, Blob: blobs, Library: library, Start: n.start, Trees: n.path("trees"), Files: n.path("data", "files"), Dir: n.path("arriving"), Log: log,
		Config: func(ctx context.Context, p ridgeline.Pipeline) (project.Config, error) { return n.runs.Config(ctx, p) },
		Train: func(ctx context.Context, tx *store.Store, a ridgeline.Arrival) (ridgeline.Run, error) {
			return n.runs.Create(ctx, tx, pipeline.Request{
				Project: a.Project, Cause: fmt.Sprintf("data %s:%d", a.Dataset, a.Version), Caller: a.Caller, Data: map[string]int{a.Dataset: a.Version},
			})
		},
		Started: func(ctx context.Context, id ridgeline.RunID) error { return n.start(ctx, pipeline.Kind, string(id)) },
	}
	n.runs = &pipeline.Runner{
		Store: n.store, Blob: blobs, Start: n.start, Tasks: n.host, Pools: n.pools(public), Python: envs, Intake: n.intake, Images: n.images,
		Tracking: &mlflow.Steps{Track: n.tracking, Contents: blobs, Auth: access, URL: n.local()}, Registry: target, Runtime: runtime, Dir: n.path("work"), Trees: n.path("trees"), Log: log,
		Packed: func(ctx context.Context, image string) ([]string, []string, error) {
			l, err := local.prepare(ctx, image)
			return l.Command[:min(1, len(l.Command))], l.Env, err
		},
		Released: func(ctx context.Context, id ridgeline.ReleaseID) error { return n.start(ctx, release.Kind, string(id)) },
	}
	n.builds = &build.Builder{
		Store: n.store, Blob: blobs, Start: n.start, Tasks: n.host, Python: envs, Intake: n.intake, Dir: n.path("work"), Log: log,
		Train: func(ctx context.Context, tx *store.Store, r ridgeline.Run) (ridgeline.Run, error) {
			return n.runs.Create(ctx, tx, pipeline.Request{Project: r.Project, Pipeline: r.Pipeline, Cause: r.Cause, Caller: r.Caller})
		},
		Started: func(ctx context.Context, id ridgeline.RunID) error { return n.start(ctx, pipeline.Kind, string(id)) },
	}
	n.garbage, n.storage = n.collector(blobs), n.meter(blobs)
	n.predictions = &prediction.Log{Store: n.store, Files: logs, Waiting: n.path("journal"), Temp: n.path("tmp"), Keep: n.kept, Whose: access.LogDeployment, Log: log}
	n.forges = forge.New(forge.Options{
		Store: n.store, Blob: blobs, Builds: n.builds, Vault: secrets, Dir: n.path("fetched"), Known: filepath.Join(n.options.Shared, "known_hosts"), KnownStored: n.options.Blob != "",
		Temp: n.path("tmp"), URL: public, Log: log,
	})
	webhooks := trigger.NewWebhooks(n.store, secrets, n.options.Networks, public)
	hidden := n.secrets(access, webhooks.Secrets, n.forges.Secrets)
	n.runs.Secrets, n.builds.Secrets = hidden, hidden
	n.outbox = &trigger.Outbox{
		Store: n.store, Log: log,
		Subscribers: []trigger.Subscriber{webhooks.Subscriber, n.forges.Subscriber},
		Senders:     map[string]trigger.Sender{ridgeline.DeliveryWebhook: webhooks.Sender, ridgeline.DeliveryStatus: n.forges.Sender},
	}
	n.git = &git.Server{
		Store: n.store, Blob: blobs, Builds: n.builds, Dir: filepath.Join(n.options.Shared, "git"), Kept: n.options.Blob != "", Temp: n.path("tmp"),
		URL: public, MaxPush: cmp.Or(n.options.MaxPush<<20, git.DefaultMaxPush), Log: log,
	}
	n.due = &trigger.Schedules{
		Store: n.store, Config: n.runs.Config, Create: n.runs.Create, Nightly: n.builds.CreateNightly, Now: time.Now, Log: log,
		Started: func(ctx context.Context, kind, id string) error {
			if kind == ridgeline.ScheduleNightly {
				return n.start(ctx, build.Kind, id)
			}
			return n.start(ctx, pipeline.Kind, id)
		},
	}
	inbox := &trigger.Inbox{
		Store: n.store, Config: n.runs.Config, Create: n.runs.Create, Data: n.intake, Log: log,
		Started: func(ctx context.Context, id ridgeline.RunID) error { return n.start(ctx, pipeline.Kind, string(id)) },
	}
	n.sessions = &auth.Sessions{Auth: access, Store: n.store}
	n.door = &auth.Door{Trail: n.store, Log: log}
	surface := &api.API{
		Store: n.store, Blob: blobs, Builds: n.builds, Runs: n.runs, Intake: n.intake, Releases: n.releases, Predictions: n.predictions,
		Webhooks: webhooks, Schedules: n.due, Inbox: inbox, Remotes: n.forges, Garbage: n.garbage, Storage: n.storage, Auth: access, Sessions: n.sessions, Ready: entrance.Ready,
		BaseURL: public, RegistryHost: n.registryHost(), Version: version(), Temp: n.path("tmp"), Log: log,
		Bills: n.bills(), Leads: n.leads,
	}
	keeper := scope.New(n.owners())
	pages := &ui.UI{
		Store: n.store, Track: n.tracking, Blob: blobs, Builds: n.builds, Intake: n.intake, Runs: n.runs, Releases: n.releases, Webhooks: webhooks, Schedules: n.due, Remotes: n.forges, Storage: n.storage, Auth: access, Sessions: n.sessions, Door: n.door, Scope: keeper, Ready: entrance.Ready, Score: entrance,
		Figures: entrance.Figures, ServiceLog: services.Log, Bills: n.bills(),
		BaseURL: public, Registry: n.registryHost(), Version: version(), Dev: n.options.Dev, Log: log,
	}
	if err := pages.Open(); err != nil {
		return err
	}
	n.server = server.New(server.Options{
		Auth: access, Scope: keeper, Door: n.door, API: surface.Handler(), Registry: oci, Git: n.git.Handler(), Hooks: n.forges, Gateway: entrance, Mounts: append(n.mlflow(blobs), n.logsFromElsewhere(), n.filesOfTasks(), n.gatewaysElsewhere()),
		Pages: pages.Handler(), Stopping: pages.Stop, Ready: n.ready, Log: log,
	})
	return nil
}

// logsFromElsewhere takes the inference log of scorers on other machines, who
// prove themselves by their deployment's own token.
func (n *node) logsFromElsewhere() server.Mount {
	return server.Mount{Surface: "log", Paths: []string{"/api/v1/deployments/{deployment}/log/{file...}"}, Handler: n.predictions, Open: true}
}

// kept is how long a project's inference log is kept: as its newest published
// pipeline says.
func (n *node) kept(ctx context.Context, p ridgeline.ProjectName) (time.Duration, error) {
	newest, err := n.store.Pipeline(ctx, p, 0)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	cfg, err := n.runs.Config(ctx, newest)
	return cfg.Release.Serve.Log.Keep, err
}

// start sees to it that a flow runs. A server that does not lead leaves it to
// the one that does, which looks for unfinished work every second.
func (n *node) start(ctx context.Context, kind, id string) error {
	engine := n.engine.Load()
	if engine == nil {
		return nil
	}
	if err := engine.Start(ctx, kind, id); ridgeline.CodeOf(err) != ridgeline.Unavailable {
		return err
	}
	return nil
}

// await waits, on PostgreSQL, until this server may run flows.
func (n *node) await(ctx context.Context) {
	for ctx.Err() == nil {
		leader, err := flow.Lead(ctx, n.options.Database, n.options.Log)
		if err == nil {
			err = n.lead(ctx, ctx, leader)
		}
		if err != nil && ctx.Err() == nil {
			n.options.Log.Error("become the leading server", "error", err)
			sleep(ctx, 5*time.Second)
			continue
		}
		return
	}
}

// lead runs flows from here on: what was interrupted goes on, what was only
// asked for begins, and what should be live is.
func (n *node) lead(ctx, loops context.Context, leader *flow.Leadership) error {
	engine, err := flow.New(ctx, flow.Options{SQLite: n.store.SQLite(), Postgres: n.store.Postgres(), Leader: leader, Log: n.options.Log})
	if err != nil {
		return err
	}
	engine.Handle(build.Kind, n.builds.Run)
	engine.Handle(pipeline.Kind, n.runs.Run)
	engine.Handle(release.Kind, n.releases.Run)
	engine.Handle(intake.Kind, n.intake.Run)
	n.engine.Store(engine)
	if err := engine.Launch(ctx); err != nil {
		return err
	}
	n.goLoop(func() {
		for {
			if err := n.sweep(loops, engine); err != nil && loops.Err() == nil {
				n.options.Log.Error("look for unfinished work", "error", err)
			}
			if sleep(loops, time.Second); loops.Err() != nil {
				return
			}
		}
	})
	n.goLoop(func() { n.values(loops) })
	n.goLoop(func() { n.budgets(loops) })
	n.goLoop(func() { _ = n.outbox.Run(loops) })
	n.goLoop(func() { _ = n.due.Run(loops) })
	n.goLoop(func() { n.git.Run(loops) })
	n.goLoop(func() { n.predictions.Joining(loops) })
	n.collectEvery(loops, n.options.Collect)
	n.goLoop(func() { n.forges.Run(loops) })
	n.goLoop(func() { n.keepGateways(loops) })
	n.goLoop(func() { n.releases.Scaling(loops) })
	n.goLoop(func() {
		if err := n.intake.Tidy(loops); err != nil && loops.Err() == nil {
			n.options.Log.Error("remove what ended arrivals left", "error", err)
		}
		n.intake.Watch(loops)
	})
	n.goLoop(func() {
		for loops.Err() == nil {
			if _, err := engine.Retain(loops, time.Now().Add(-7*24*time.Hour)); err != nil && loops.Err() == nil {
				n.options.Log.Error("forget ended flows", "error", err)
			}
			sleep(loops, time.Hour)
		}
	})
	return nil
}

// reconcile keeps this machine's copies of what is live, whether this server
// leads or not: each answers by itself, and goes on when another one dies. One
// that does not lead learns of releases by looking.
func (n *node) reconcile(ctx context.Context) {
	for ctx.Err() == nil {
		if err := n.releases.Reconcile(ctx); err != nil && ctx.Err() == nil {
			n.options.Log.Error("reconcile deployments", "error", err)
		}
		pause := 10 * time.Second
		if n.engine.Load() != nil {
			if err := n.releases.Rest(ctx, time.Now()); err != nil && ctx.Err() == nil {
				n.options.Log.Error("let what nobody asks rest", "error", err)
			}
			if err := n.tidyPools(ctx); err != nil && ctx.Err() == nil {
				n.options.Log.Error("remove what ended runs left on the cluster", "error", err)
			}
		} else {
			pause = 2 * time.Second
			if err := n.tidy(ctx); err != nil && ctx.Err() == nil {
				n.options.Log.Error("remove what another server has ended", "error", err)
			}
		}
		sleep(ctx, pause)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// shutdown stops serving, leaves running tasks to their supervisors, and
// takes the services down.
func (n *node) shutdown(keepServices bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	_ = os.Remove(n.path("url"))
	if err := n.server.Shutdown(ctx); err != nil {
		n.options.Log.Warn("requests were cut off", "error", err)
	}
	n.door.Close()
	spans, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	_ = n.tracer.Close(spans) // what is wrong with the collector was said
	n.cancel()
	if engine := n.engine.Load(); engine != nil {
		if err := engine.Shutdown(10 * time.Second); err != nil {
			n.options.Log.Warn("work was left for the next start", "error", err)
		}
	}
	if !keepServices {
		if err := n.host.StopServices(ctx); err != nil {
			n.options.Log.Warn("stop services", "error", err)
		}
	}
	n.loops.Wait()
	n.release()
}

// release lets go of what start has opened.
func (n *node) release() {
	if n.cancel != nil {
		n.cancel()
	}
	if n.listener != nil {
		n.listener.Close()
	}
	if n.cluster != nil {
		n.cluster.Close()
	}
	if n.images != nil {
		_ = n.images.Close()
	}
	if n.tracking != nil {
		_ = n.tracking.Close()
	}
	if n.store != nil {
		_ = n.store.Close()
	}
	if n.lock != nil {
		n.lock.Close()
	}
}

func writeFile(path, text string) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
