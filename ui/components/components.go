// Package components has what pages are put together from: badges, times,
// command lines, empty states, tables' parts, and plots drawn as SVG.
//
// A component is a template, here by its name, and a Go value that it shows.
// It knows nothing of where that comes from; pages are package ui's.
package components

import (
	"embed"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

//go:embed *.html
var files embed.FS

// New is a set of templates with every component in it, for pages to be added.
func New() (*template.Template, error) {
	return template.New("").Funcs(funcs).ParseFS(files, "*.html")
}

var funcs = template.FuncMap{
	// text
	"time": Time, "clock": Clock, "seconds": Seconds, "between": Between, "number": Number, "signed": Signed, "percent": Percent, "count": Count,
	"bytes": Bytes, "short": Short, "plural": Plural, "path": Path, "join": strings.Join, "lower": strings.ToLower, "str": str, "list": list,
	// components
	"cli": NewCLI, "status": NewStatus, "verdict": NewVerdict, "empty": NewEmpty, "stat": NewStat, "action": NewAction, "version": NewVersion,
	"digest": NewDigest, "log": NewLog, "dot": dot, "checked": checked, "answered": answered, "meter": NewMeter,
	"graph": NewGraph, "cut": Cut, "linked": Linked, "query": query,
}

func list(words ...string) []string { return words }

func str(v any) string { return fmt.Sprint(v) }

// query is one pair of an address, with its question mark.
func query(name string, value any) string {
	return "?" + url.Values{name: {fmt.Sprint(value)}}.Encode()
}

// Path joins parts to an address on this server, each escaped. A part that
// starts with ? is the query.
func Path(parts ...any) string {
	var b strings.Builder
	for _, p := range parts {
		text := fmt.Sprint(p)
		if strings.HasPrefix(text, "?") {
			b.WriteString(text)
			continue
		}
		b.WriteString("/" + url.PathEscape(text))
	}
	return b.String()
}

// A CLI is the command line that does what stands beside it.
type CLI struct{ Line string }

// NewCLI joins words to a command line of ridgeline, each quoted as a shell
// needs it.
func NewCLI(words ...any) CLI {
	line := make([]string, 0, len(words)+1)
	line = append(line, "ridgeline")
	for _, w := range words {
		line = append(line, Quote(fmt.Sprint(w)))
	}
	return CLI{strings.Join(line, " ")}
}

// Quote writes a word as a shell reads it.
func Quote(word string) string {
	plain := word != "" && strings.IndexFunc(word, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r))
	}) < 0
	if plain {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// A Status says where something stands, by a sign and a word.
type Status struct {
	Word string
	Tone string // ok, bad, warn, busy, quiet
}

var tones = map[string]string{
	string(ridgeline.Queued): "quiet", string(ridgeline.Running): "busy", string(ridgeline.Waiting): "warn", string(ridgeline.Succeeded): "ok",
	string(ridgeline.Failed): "bad", string(ridgeline.Cancelled): "quiet", string(ridgeline.Skipped): "quiet",

	string(ridgeline.Promoted): "ok", string(ridgeline.Rejected): "bad", string(ridgeline.Inconclusive): "warn", string(ridgeline.GateError): "bad",

	string(ridgeline.DeploymentStarting): "busy", string(ridgeline.DeploymentLive): "ok", string(ridgeline.DeploymentRetired): "quiet",

	// MLflow's
	"RUNNING": "busy", "SCHEDULED": "quiet", "FINISHED": "ok", "FAILED": "bad", "KILLED": "quiet",

	"ok": "ok", "broken": "bad", "worse": "bad", "not measured": "warn", "not enough rows": "quiet", "ready": "ok", "not ready": "bad", "asleep": "quiet", "champion": "ok",
	string(ridgeline.Accepted): "ok", string(ridgeline.Quarantined): "warn", "warning": "warn", "overridden": "warn", "given up": "bad", "exceeded": "bad", "will be exceeded": "warn", "delivered": "ok", "pending": "busy",
}

// NewStatus is of any of the words that our nouns use for where they stand.
func NewStatus(word any) Status {
	w := fmt.Sprint(word)
	tone, ok := tones[w]
	if !ok {
		tone = "quiet"
	}
	return Status{Word: w, Tone: tone}
}

// dot is a status that says another word than where it stands.
func dot(word, status any) Status {
	return Status{Word: fmt.Sprint(word), Tone: NewStatus(status).Tone}
}

// answered is where an answer with that HTTP status stands.
func answered(status int) ridgeline.Status {
	if status < 300 {
		return ridgeline.Succeeded
	}
	return ridgeline.Failed
}

// checked is dot of what a release has looked at, in a word that people use.
func checked(name string, status ridgeline.Status) Status {
	words := map[string]string{"approval": "approval", "ready": "ready", "switch": "takes requests"}
	if word, ok := words[name]; ok {
		name = word
	} else {
		name = "smoke test " + name
	}
	return dot(name, status)
}

// NewVerdict is a status of a gate's verdict; of none, "no verdict".
func NewVerdict(v ridgeline.Verdict) Status {
	if v == "" {
		return Status{Word: "no verdict", Tone: "quiet"}
	}
	return NewStatus(v)
}

// An Empty says that there is nothing yet, and what makes something.
type Empty struct {
	Title, Text string
	Line        CLI
}

// NewEmpty makes an Empty; without words there is no command line.
func NewEmpty(title, text string, words ...any) Empty {
	e := Empty{Title: title, Text: text}
	if len(words) > 0 {
		e.Line = NewCLI(words...)
	}
	return e
}

// A Stat is one figure with its name.
type Stat struct{ Name, Value, Note string }

// NewStat makes a Stat.
func NewStat(name string, value any, note ...any) Stat {
	return Stat{Name: name, Value: fmt.Sprint(value), Note: strings.TrimSpace(fmt.Sprint(note...))}
}

// A Version is a link to a model version.
type Version struct {
	Model   string
	Version int
}

// NewVersion makes a Version.
func NewVersion(model ridgeline.ModelName, version int) Version {
	return Version{string(model), version}
}

// URL is its page.
func (v Version) URL() string { return Path("models", v.Model, v.Version) }

// A Digest is a long name of some content, shown short.
type Digest struct{ Full, Shown string }

// NewDigest shows the first twelve digits.
func NewDigest(full string) Digest { return Digest{Full: full, Shown: Short(full)} }

// Short is the digest's first twelve digits; of repository@sha256:… that of
// the digest.
func Short(full string) string {
	if _, hash, ok := strings.Cut(full, "sha256:"); ok {
		full = hash
	}
	return full[:min(len(full), 12)]
}

// A Log is a box of lines that follows a stream.
type Log struct {
	Stream string // address of the stream, which starts behind Lines; empty: nothing more will come
	Lines  []string
	Label  string // for those who do not see it
}

// NewLog makes a Log.
func NewLog(label, stream string, lines []string) Log { return Log{stream, lines, label} }

// A Chart is drawn by ECharts. What it says has to be on the page in words or
// as a table, too: it is not there without scripts.
type Chart struct {
	Title  string
	Label  string         // what is to be seen, for those who do not
	Size   string         // tall, low or empty
	Option map[string]any // as ECharts takes it; "$accent" and the like are our colours
}

// A Meter is a share as a bar.
type Meter struct {
	Share float64 // 0 to 1
	Label string
	Tone  string
}

// NewMeter makes a Meter.
func NewMeter(share float64, label, tone string) Meter {
	return Meter{Share: min(max(share, 0), 1), Label: label, Tone: tone}
}

// Width is the bar's width of a hundred.
func (m Meter) Width() string { return fmt.Sprintf("%.2f", m.Share*100) }

// A Crumb is a step on the way to a page.
type Crumb struct{ Text, URL string }

// Between is the time from one to the other, or to now, while there is no
// other; empty before the first.
func Between(from, to time.Time) string {
	if from.IsZero() {
		return ""
	}
	if to.IsZero() {
		to = time.Now()
	}
	return Seconds(to.Sub(from).Seconds())
}

// A Tab leads to a part of a page.
type Tab struct {
	Text, URL string
	Count     string // how many there are; empty: not said
	Now       bool
}
