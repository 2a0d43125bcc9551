package api

import (
	"encoding/json"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// The bodies of the API. The fields that DESIGN names are fixed: scripts read
// them from --json.

// Check is one thing a build looked at.
type Check struct {
	Name    string  `json:"name"`
	Kind    string  `json:"kind" enum:"environment,quality,tests,coverage,data"`
	Status  string  `json:"status"`
	Message string  `json:"message" doc:"the figure when green, the cause when red"`
	Log     string  `json:"log,omitempty" doc:"task whose log has the rest, for /api/v1/logs/{task}"`
	Seconds float64 `json:"seconds"`
}

// Build is one commit's passage through its checks.
type Build struct {
	Build       string           `json:"build"`
	Project     string           `json:"project"`
	Commit      string           `json:"commit"`
	Branch      string           `json:"branch,omitempty"`
	PullRequest string           `json:"pull_request,omitempty"`
	Cause       string           `json:"cause" doc:"how the commit came: push, git, webhook github, nightly, retry b-…"`
	Nightly     bool             `json:"nightly"`
	Status      string           `json:"status"`
	Pipeline    int              `json:"pipeline" doc:"version that stands for its code; 0 when it published nothing"`
	Run         string           `json:"run,omitempty" doc:"run it started"`
	Reason      string           `json:"reason,omitempty" doc:"why it failed, or why a green one published nothing new"`
	Checks      []Check          `json:"checks"`
	Report      ridgeline.Report `json:"report" doc:"what the tests said, and how that compares; all of it is at /api/v1/builds/{id}/results"`
	Created     time.Time        `json:"created"`
	Ended       *time.Time       `json:"ended,omitempty"`
}

// Step is one part of a run.
type Step struct {
	Name     string  `json:"name"`
	Status   string  `json:"status"`
	Cached   bool    `json:"cached"`
	Attempts int     `json:"attempts"`
	Seconds  float64 `json:"seconds"`
	Message  string  `json:"message,omitempty"`
	Log      string  `json:"log,omitempty" doc:"task whose log it is, for /api/v1/logs/{task}"`
	CPU      float64 `json:"cpu_seconds,omitempty"`
	Memory   int64   `json:"peak_memory_bytes,omitempty"`

	InstanceOf string            `json:"instance_of,omitempty" doc:"the step with the matrix or the sweep"`
	Params     map[string]string `json:"params,omitempty" doc:"an instance's own"`
	Best       map[string]string `json:"best,omitempty" doc:"of a sweep: what went on"`
	Metrics    ridgeline.Metrics `json:"metrics,omitempty"`
	Source     string            `json:"source,omitempty" doc:"the run that made its result, when cached"`
	Note       string            `json:"note,omitempty" doc:"why it ran, or did not have to"`
}

// Run is one passage through a published pipeline.
type Run struct {
	ID         string            `json:"id"`
	Project    string            `json:"project"`
	Pipeline   int               `json:"pipeline"`
	Cause      string            `json:"cause"`
	Caller     string            `json:"caller,omitempty"`
	Params     map[string]string `json:"params,omitempty"`
	Data       map[string]int    `json:"data,omitempty" doc:"dataset to the version it works on"`
	Resumes    string            `json:"resumes,omitempty" doc:"the run whose successful steps it takes over"`
	From       string            `json:"from,omitempty" doc:"the step from which it does all anew, though that run has it"`
	NoCache    bool              `json:"no_cache,omitempty"`
	Judges     string            `json:"judges,omitempty" doc:"NAME:V of a version registered by hand, which it takes to the gate in place of training one"`
	Reproduces string            `json:"reproduces,omitempty" doc:"NAME:V, when it only looks whether that version comes out again"`
	GateOff    string            `json:"gate_off,omitempty" doc:"the reason given for making its model champion whatever the gate says"`
	Status     string            `json:"status"`
	Verdict    string            `json:"verdict"`
	Model      string            `json:"model,omitempty"`
	Version    int               `json:"version,omitempty"`
	Release    string            `json:"release,omitempty"`
	Reason     string            `json:"reason,omitempty"`
	Note       string            `json:"note,omitempty" doc:"what to know of its data: a delivery in quarantine, a source that does not answer"`
	Created    time.Time         `json:"created"`
	Started    *time.Time        `json:"started"`
	Ended      *time.Time        `json:"ended"`
	Steps      []Step            `json:"steps,omitempty"`
}

// SystemUse is how much an attempt at a step used over its time: columns of one
// length. A sample stands for the time since the one before it.
type SystemUse struct {
	Step    string    `json:"step"`
	Attempt int       `json:"attempt"`
	Began   time.Time `json:"began" doc:"when its command did"`
	Every   float64   `json:"every_seconds" doc:"from one sample to the next, about; there are 200 at most"`
	Seconds []float64 `json:"seconds" doc:"since it began, when the sample was taken"`
	Cores   []float64 `json:"cores" doc:"busy on average"`
	Memory  []int64   `json:"memory_bytes" doc:"resident, the most that was seen"`

	AskedCPU    float64 `json:"asked_cpu,omitempty" doc:"cores that it has for itself; absent: none"`
	AskedMemory int64   `json:"asked_memory_bytes,omitempty" doc:"above which it is ended; absent: no limit"`
	GPUs        int     `json:"gpus,omitempty" doc:"that it has for itself"`
	GPUSeconds  float64 `json:"gpu_seconds,omitempty" doc:"for which they were held, by all that is known"`
	Advice      string  `json:"advice,omitempty" doc:"what was asked for in vain, or was nearly too little"`
}

// ModelVersion is a model that reached the gate.
type ModelVersion struct {
	Name        string            `json:"name"`
	Version     int               `json:"version"`
	Champion    bool              `json:"champion"`
	Verdict     string            `json:"verdict"`
	Run         string            `json:"run"`
	Commit      string            `json:"commit"`
	Image       string            `json:"image"`
	Created     time.Time         `json:"created"`
	Project     string            `json:"project"`
	Pipeline    int               `json:"pipeline"`
	Environment string            `json:"environment" doc:"hash of the locked environment"`
	Data        map[string]string `json:"data" doc:"dataset to sha256"`
	Params      map[string]string `json:"params,omitempty"`
	Metrics     ridgeline.Metrics `json:"metrics"`
	Artifact    string            `json:"artifact" doc:"sha256 of the model folder's archive"`
	Size        int64             `json:"size"`
	Framework   string            `json:"framework,omitempty" doc:"of a model that is served without a scoring script"`
	Signature   json.RawMessage   `json:"signature,omitempty" doc:"what such a model takes and gives, when it tells"`
	Override    []Override        `json:"override" doc:"who made it champion beside the gate, and why; oldest first"`

	Source      string            `json:"source" enum:"pipeline,manual" doc:"manual: registered by hand, such as with mlflow.register_model; it has no run, verdict or image until it has been to the gate"`
	By          string            `json:"by,omitempty" doc:"who registered it by hand"`
	URI         string            `json:"uri,omitempty" doc:"where it was registered from"`
	TrackingRun string            `json:"tracking_run,omitempty" doc:"the MLflow run that made it"`
	LoggedModel string            `json:"logged_model,omitempty" doc:"MLflow's id of the model that was registered"`
	Description string            `json:"description,omitempty"`
	Stage       string            `json:"stage,omitempty" doc:"MLflow's, a label that moves nothing"`
	Tags        map[string]string `json:"tags,omitempty" doc:"of one version"`
	Aliases     []string          `json:"aliases,omitempty" doc:"of one version; the gate keeps champion and challenger"`
}

// Override is a person's decision beside the gate.
type Override = ridgeline.Override

// Decision is a line of a model's ledger.
type Decision struct {
	Version  int       `json:"version"`
	Run      string    `json:"run"`
	At       time.Time `json:"at"`
	Verdict  string    `json:"verdict"`
	Alpha    float64   `json:"alpha" doc:"spent of the holdout's error budget; 0 for an override"`
	Life     int       `json:"life" doc:"of the holdout, from 1; enough new rows start another, with a new budget"`
	Rows     int       `json:"rows" doc:"of the holdout"`
	New      float64   `json:"new" doc:"share of them that this life had not seen"`
	Override *Override `json:"override"`
}

// Again is a report made once more.
type Again struct {
	Same       bool   `json:"same"`
	Difference string `json:"difference,omitempty" doc:"the first thing that is not as it was"`
	Report     any    `json:"report"`
}

// Promotion is what an override came to.
type Promotion struct {
	Model   ModelVersion `json:"model"`
	Release *Release     `json:"release,omitempty"`
}

// ReleaseEnvironment is a release's passage through one environment.
type ReleaseEnvironment struct {
	Name       string `json:"name"`
	Status     string `json:"status"`
	Image      string `json:"image"`
	Message    string `json:"message"`
	Deployment string `json:"deployment,omitempty"`
}

// Release carries a version through its environments.
type Release struct {
	ID           string               `json:"id"`
	Project      string               `json:"project"`
	Model        string               `json:"model"`
	Version      int                  `json:"version"`
	Status       string               `json:"status"`
	Cause        string               `json:"cause"`
	Beside       bool                 `json:"beside,omitempty" doc:"what was live stays so and keeps all requests"`
	Reason       string               `json:"reason,omitempty"`
	Environments []ReleaseEnvironment `json:"environments"`
	Created      time.Time            `json:"created"`
	Ended        *time.Time           `json:"ended,omitempty"`
}

// Endpoint is the stable address of a project's environment. Its model,
// version and so on are those of the deployment that answers most of its
// requests.
type Endpoint struct {
	Project      string       `json:"project"`
	Environment  string       `json:"environment"`
	URL          string       `json:"url"`
	Model        string       `json:"model,omitempty"`
	Version      int          `json:"version"`
	Image        string       `json:"image"`
	Framework    string       `json:"framework,omitempty" doc:"of a model that answers without a scoring script: then /invocations and /v2 are beside /score"`
	Ready        bool         `json:"ready"`
	Replicas     int          `json:"replicas"`
	Asleep       bool         `json:"asleep,omitempty" doc:"its copies went because nobody asked; the next request brings them back"`
	Resting      string       `json:"resting,omitempty" doc:"why it is asleep"`
	Until        *time.Time   `json:"until,omitempty" doc:"when its copies come back by themselves, because its hours begin"`
	Hours        string       `json:"hours,omitempty" doc:"when its copies stay though nobody asks"`
	Deployments  []Deployment `json:"deployments" doc:"all that may answer, newest first"`
	PrimaryKey   string       `json:"primary_key,omitempty" doc:"only for those who may write"`
	SecondaryKey string       `json:"secondary_key,omitempty" doc:"only for those who may write"`
}

// Deployment is one version that may answer an endpoint's requests.
type Deployment struct {
	Name     string    `json:"name" doc:"v and the version's number: what the header azureml-model-deployment chooses it by"`
	ID       string    `json:"id"`
	Model    string    `json:"model"`
	Version  int       `json:"version"`
	Image    string    `json:"image"`
	Weight   int       `json:"weight" doc:"percent of the requests"`
	Mirror   int       `json:"mirror" doc:"percent of the requests of which it gets a copy"`
	Ready    bool      `json:"ready"`
	Replicas int       `json:"replicas" doc:"copies that answer"`
	Log      *LogState `json:"log" doc:"of its copies on the server's machine"`
	Created  time.Time `json:"created"`
}

// Token lets a principal in. Secret is there once, when it is made.
type Token struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Role    string     `json:"role"`
	Project string     `json:"project,omitempty" doc:"the only one that it opens; absent: every one"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"`
	Revoked *time.Time `json:"revoked,omitempty"`
	Secret  string     `json:"secret,omitempty"`
}

// Dataset is one content of a dataset.
type Dataset struct {
	Project   string             `json:"project"`
	Name      string             `json:"name"`
	Version   int                `json:"version"`
	Digest    string             `json:"digest"`
	Size      int64              `json:"size"`
	Rows      int64              `json:"rows"`
	FileCount int                `json:"file_count"`
	Columns   []ridgeline.Column `json:"columns"`
	Created   time.Time          `json:"created"`
}

// Report is a gate's report, as package gate writes it.
type Report = json.RawMessage

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func viewBuild(b ridgeline.Build) Build {
	out := Build{
		Build: string(b.ID), Project: string(b.Project), Commit: b.Commit.Hash, Branch: b.Commit.Branch, Status: string(b.Status),
		PullRequest: b.PullRequest, Cause: b.Cause, Nightly: b.Nightly,
		Report:   b.Report,
		Pipeline: b.Pipeline, Run: string(b.Run), Reason: b.Reason, Created: b.Created, Ended: optional(b.Ended), Checks: []Check{},
	}
	for _, c := range b.Checks {
		out.Checks = append(out.Checks, Check{
			Name: c.Name, Kind: string(c.Kind), Status: string(c.Status), Message: c.Message, Log: c.Task, Seconds: c.Seconds,
		})
	}
	return out
}

func viewRun(r ridgeline.Run, steps []ridgeline.Step, now time.Time) Run {
	out := Run{
		ID: string(r.ID), Project: string(r.Project), Pipeline: r.Pipeline, Cause: r.Cause, Caller: r.Caller, Params: r.Params, GateOff: r.GateOff,
		Data: r.Data, Resumes: string(r.Resumes), From: r.From, NoCache: r.NoCache, Reproduces: r.Reproduces, Judges: r.Judges,
		Status: string(r.Status), Verdict: string(r.Verdict), Model: string(r.Model), Version: r.Version, Release: string(r.Release),
		Reason: r.Reason, Note: r.Note, Created: r.Created, Started: optional(r.Started), Ended: optional(r.Ended),
	}
	for _, s := range steps {
		step := Step{
			Name: s.Name, Status: string(s.Status), Cached: s.Cached, Attempts: len(s.Attempts),
			Seconds: s.Seconds(now), Message: s.Message,
			InstanceOf: s.Parent, Params: s.Params, Best: s.Result.Best, Metrics: s.Result.Metrics, Source: string(s.Source), Note: s.Note,
		}
		for _, a := range s.Attempts {
			step.Log = a.Task
			step.CPU += a.Usage.CPUSeconds
			step.Memory = max(step.Memory, a.Usage.PeakMemory)
		}
		out.Steps = append(out.Steps, step)
	}
	return out
}

// viewUse says how much an attempt used beside what it had asked for.
func viewUse(c ridgeline.AttemptCourse, a ridgeline.Attempt) SystemUse {
	return SystemUse{
		Step: c.Step, Attempt: c.Number, Began: c.Began, Every: c.Every, Seconds: c.Seconds, Cores: c.Cores, Memory: c.Memory,
		AskedCPU: a.Held.CPU, AskedMemory: a.Held.Memory, GPUs: a.Held.GPU, GPUSeconds: float64(a.Held.GPU) * c.Length(), Advice: a.Held.Advice(c.Used(a)),
	}
}

func (a *API) viewVersion(v ridgeline.ModelVersion) ModelVersion {
	if v.Data == nil { // not null, whatever is known
		v.Data = map[string]string{}
	}
	if v.Metrics == nil {
		v.Metrics = ridgeline.Metrics{}
	}
	return ModelVersion{
		Name: string(v.Model), Version: v.Version, Champion: v.Champion, Verdict: string(v.Verdict), Run: string(v.Run), Commit: v.Commit,
		Image: a.image(v.Image), Created: v.Created, Project: string(v.Project), Pipeline: v.Pipeline, Environment: v.Environment,
		Data: v.Data, Params: v.Params, Metrics: v.Metrics, Artifact: v.Artifact, Size: v.Size,
		Framework: v.Framework, Signature: v.Signature, Override: append([]Override{}, v.Overrides...),
		Source: string(v.Source), By: v.By, URI: v.URI, TrackingRun: v.TrackingRun, LoggedModel: v.LoggedModel, Stage: v.Stage, Description: v.Description,
		Tags: v.Tags, Aliases: v.Aliases,
	}
}

func viewDecision(d ridgeline.Decision) Decision {
	return Decision{
		Version: d.Version, Run: string(d.Run), At: d.At, Verdict: string(d.Verdict), Alpha: d.Alpha, Life: d.Life, Rows: d.Rows, New: d.New, Override: d.Override,
	}
}

func (a *API) viewRelease(r ridgeline.Release) Release {
	out := Release{
		ID: string(r.ID), Project: string(r.Project), Model: string(r.Model), Version: r.Version, Status: string(r.Status),
		Cause: r.Cause, Beside: r.Beside, Reason: r.Reason, Created: r.Created, Ended: optional(r.Ended), Environments: []ReleaseEnvironment{},
	}
	for _, e := range r.Environments {
		out.Environments = append(out.Environments, ReleaseEnvironment{
			Name: e.Name, Status: string(e.Status), Image: a.image(e.Image), Message: e.Message, Deployment: string(e.Deployment),
		})
	}
	return out
}

// image makes the stored name of an image one that a registry client on this
// machine can pull.
func (a *API) image(stored string) string {
	return ridgeline.ImageReference(a.RegistryHost, stored)
}

func viewToken(t ridgeline.Token) Token {
	return Token{ID: string(t.ID), Name: t.Name, Role: string(t.Role), Project: string(t.Project), Created: t.Created, Expires: optional(t.Expires), Revoked: optional(t.Revoked)}
}
