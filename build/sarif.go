package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// A finding is something wrong at a place, as a code review shows it.
type finding struct {
	Rule         string // environment, tests, quality, coverage, data/range…
	Message      string
	File         string // relative to the project, with slashes
	Line, Column int    // from 1; 0: the file as a whole
	Warning      bool
}

// findingsOf are the places that an error names, or file.
func findingsOf(err error, file string) []finding {
	var mistakes *project.Mistakes
	if !errors.As(err, &mistakes) {
		return []finding{{Rule: "configuration", Message: err.Error(), File: file}}
	}
	var all []finding
	for _, m := range mistakes.List {
		all = append(all, finding{Rule: "configuration", Message: m.Message, File: mistakes.Name, Line: m.Line, Column: m.Column})
	}
	return all
}

// taskFindings are a red task's failed tests where they are known, and else
// the task itself, in the file that says what it runs.
func taskFindings(t project.Task, o outcome, root string) []finding {
	if o.Status != ridgeline.Failed {
		return nil
	}
	var all []finding
	for _, test := range o.Tests {
		if test.Status != Broken {
			continue
		}
		f := finding{Rule: "tests", Message: test.ID() + ": " + test.Message, File: test.File, Line: test.Line}
		if !inProject(root, f.File) {
			f.File, f.Line = moduleFile(root, test.Suite), 0
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		all = append(all, finding{Rule: t.Kind, Message: t.Name + ": " + o.Message, File: project.FileName})
	}
	return all
}

func inProject(root, file string) bool {
	return file != "" && filepath.IsLocal(filepath.FromSlash(file)) && isFile(filepath.Join(root, filepath.FromSlash(file)))
}

// moduleFile is the file of a Python name such as tests.test_a.TestA.
func moduleFile(root, name string) string {
	for parts := strings.Split(name, "."); len(parts) > 0; parts = parts[:len(parts)-1] {
		if f := strings.Join(parts, "/") + ".py"; inProject(root, f) {
			return f
		}
	}
	return project.FileName
}

// The parts of SARIF 2.1.0 that are written here
// (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html).
type sarifLog struct {
	Schema  string            `json:"$schema"`
	Version string            `json:"version"`
	Runs    []json.RawMessage `json:"runs"`
}

type sarifRun struct {
	Tool struct {
		Driver sarifDriver `json:"driver"`
	} `json:"tool"`
	ColumnKind string        `json:"columnKind"`
	Results    []sarifResult `json:"results"`
}

type sarifDriver struct {
	Name  string      `json:"name"`
	Rules []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID string `json:"id"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID    string          `json:"ruleId"`
	RuleIndex int             `json:"ruleIndex"`
	Level     string          `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations"`
}

type sarifLocation struct {
	Physical struct {
		Artifact struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region sarifRegion `json:"region"`
	} `json:"physicalLocation"`
}

type sarifRegion struct {
	StartLine   int `json:"startLine"`
	StartColumn int `json:"startColumn,omitempty"`
}

// sarif is the build's findings as one log: a run of ours, and the runs of the
// tools that wrote such a file themselves.
func (b *LocalBuild) sarifLog() ([]byte, []error) {
	own := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	own.Tool.Driver = sarifDriver{Name: "ridgeline", Rules: []sarifRule{}}
	index := map[string]int{}
	for _, f := range b.findings {
		at, ok := index[f.Rule]
		if !ok {
			at = len(own.Tool.Driver.Rules)
			index[f.Rule] = at
			own.Tool.Driver.Rules = append(own.Tool.Driver.Rules, sarifRule{f.Rule})
		}
		r := sarifResult{RuleID: f.Rule, RuleIndex: at, Level: "error", Message: sarifText{clip(f.Message, maxMessage)}, Locations: make([]sarifLocation, 1)}
		if f.Warning {
			r.Level = "warning"
		}
		place := &r.Locations[0].Physical
		place.Artifact.URI = (&url.URL{Path: f.File}).String()
		// A place without a line is shown by nobody: the first will do.
		place.Region = sarifRegion{max(f.Line, 1), f.Column}
		own.Results = append(own.Results, r)
	}
	log := sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0"}
	text, err := json.Marshal(own)
	log.Runs = append(log.Runs, text)
	problems := []error{err}
	for _, file := range b.sarif {
		runs, err := b.foreign(file)
		log.Runs = append(log.Runs, runs...)
		problems = append(problems, err)
	}
	text, err = json.MarshalIndent(log, "", "  ")
	return append(text, '\n'), append(problems, err)
}

// foreign reads the runs of a tool's own log. What it calls by its place in the
// task's copy of the tree is called by its place in the project.
func (b *LocalBuild) foreign(file string) ([]json.RawMessage, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > maxReport {
		err = fmt.Errorf("it has %d MiB, over the %d MiB that are read", info.Size()>>20, maxReport>>20)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	var log sarifLog
	if err == nil {
		rel, _ := filepath.Rel(filepath.Join(b.work, "tasks"), file)
		task, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
		src := filepath.Join(b.work, "tasks", task, "src") + "/"
		text = []byte(strings.NewReplacer("file://"+src, "", src, "").Replace(string(text)))
		err = json.Unmarshal(text, &log)
	}
	if err == nil && log.Version != "2.1.0" {
		err = fmt.Errorf("it has version %q, expected 2.1.0", log.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is left out of ridgeline.sarif: %w", filepath.Base(file), err)
	}
	return log.Runs, nil
}
