package mlflow

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/valyala/fastjson"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/track"
)

// The limits and messages are those of mlflow/utils/validation.py, 3.17. Lengths
// are in characters.
const (
	maxParamsOrTags     = 100
	maxMetrics          = 1000
	maxEntities         = 1000
	maxBatch            = 1_000_000 // bytes
	maxParamValue       = 6000
	maxTagValue         = 8000
	maxKey              = 250
	maxExperimentName   = 500
	maxExperimentTag    = 20_000
	maxDatasetName      = 500
	maxDatasetDigest    = 36
	maxDatasetSchema    = 1_048_575
	maxDatasetSource    = 65_535
	maxDatasetProfile   = 16_777_215
	maxInputTagKey      = 255
	maxInputTagValue    = 500
	maxResults          = 50_000
	maxArtifactLocation = 2048
	maxModelName        = 256
	maxRegistryTagValue = 100_000
	maxAlias            = 255
	maxRunID            = 256
)

// Which characters names may have. Programs for Unicode's classes, compiled from
// expressions, would be 7 MB of memory, and the slowest part of a batch's checks.

// only reports whether a text has no other characters.
func only(text string, may func(r rune) bool) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !may(r) })
}

func plainLetter(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// inKey: of metrics, params and tags.
func inKey(r rune) bool {
	return inAlias(r) || strings.ContainsRune("/. :", r)
}

func inAlias(r rune) bool {
	return inRunID(r) || r > unicode.MaxASCII && unicode.Is(unicode.M, r)
}

// inRunID: behind the first character, which is a plain letter or digit.
func inRunID(r rune) bool {
	return plainLetter(r) || r == '_' || r == '-' || r > unicode.MaxASCII && unicode.In(r, unicode.L, unicode.N)
}

// A number as the name of an alias would be a version's.
var aliasOfVersion = regexp.MustCompile(`^[vV]\d+$`)

func invalid(format string, args ...any) error {
	return ridgeline.Errorf(ridgeline.Invalid, format, args...)
}

func invalidValue(path, value, message string) error {
	return invalid("Invalid value %s for parameter '%s' supplied: %s", string(appendText(nil, value)), path, message)
}

func tooLong(what string, limit int, value string) error {
	if len(value) <= limit || utf8.RuneCountInString(value) <= limit {
		return nil
	}
	return invalid("'%s' exceeds the maximum length of %d characters", what, limit)
}

// checkName checks a name of a metric, param or tag. Names may become paths of
// files, and must not lead anywhere else when they do.
func checkName(name, at string) error {
	if !only(name, inKey) {
		return invalidValue(at, name, "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).")
	}
	if plain := path.Clean(name); plain != name || name == "." || strings.HasPrefix(name, "..") || strings.HasPrefix(name, "/") {
		return invalidValue(at, name, "Names may be treated as files in certain cases, and must not resolve to other names"+
			" when treated as such. This name would resolve to '"+plain+"'")
	}
	return nil
}

func checkParam(p track.Pair, at string) error {
	if err := checkName(p.Key, join(at, "key")); err != nil {
		return err
	}
	if err := tooLong("Param key", maxKey, p.Key); err != nil {
		return err
	}
	return nil
}

// truncate shortens what MLflow shortens rather than refuses.
func truncate(value string, limit int) string {
	if len(value) <= limit || utf8.RuneCountInString(value) <= limit {
		return value
	}
	return string([]rune(value)[:limit])
}

func checkTag(t track.Pair, at string) error {
	if err := checkName(t.Key, join(at, "key")); err != nil {
		return err
	}
	return tooLong(join(at, "key"), maxKey, t.Key)
}

// checkModelName checks the name of a registered model, which the field at
// holds. It is MLflow's check, with the length that its databases have.
func checkModelName(name, at string) error {
	if strings.TrimSpace(name) == "" {
		return invalid("Missing value for required parameter '%s'.", at)
	}
	if strings.ContainsAny(name, "/:") {
		return invalid("Invalid model name '%s'. Names cannot contain '/' or ':'.", name)
	}
	if plain := path.Clean(name); plain != name || name == "." || name == ".." {
		return invalidValue(at, name, "Names may be treated as files in certain cases, and must not resolve to other names"+
			" when treated as such. This name would resolve to '"+plain+"'")
	}
	return tooLong(at, maxModelName, name)
}

func checkRegistryTag(t track.Pair) error {
	if err := checkName(t.Key, "key"); err != nil {
		return err
	}
	if err := tooLong("key", maxKey, t.Key); err != nil {
		return err
	}
	return tooLong("value", maxRegistryTagValue, t.Value)
}

func checkAlias(alias string) error {
	if !only(alias, inAlias) {
		return invalid("Invalid alias name: '%s'. Names may only contain alphanumerics, underscores (_), and dashes (-).", alias)
	}
	return tooLong("Registered model alias name", maxAlias, alias)
}

// checkFreeAlias refuses what names a version by itself.
func checkFreeAlias(alias string) error {
	if strings.EqualFold(alias, "latest") {
		return invalid("'latest' alias name (case insensitive) is reserved.")
	}
	if aliasOfVersion.MatchString(alias) {
		return invalid("Version alias name '%s' is reserved.", alias)
	}
	return nil
}

// stageName is a stage as it is kept: empty for MLflow's "None".
func stageName(stage string) (string, error) {
	for _, name := range []string{"None", "Staging", "Production", "Archived"} {
		if strings.EqualFold(stage, name) {
			return strings.TrimSuffix(name, "None"), nil
		}
	}
	return "", invalid("Invalid Model Version stage: %s. Value must be one of None, Staging, Production, Archived.", stage)
}

func checkExperimentTag(t track.Pair) error {
	if err := checkName(t.Key, "key"); err != nil {
		return err
	}
	if err := tooLong("key", maxKey, t.Key); err != nil {
		return err
	}
	return tooLong("value", maxExperimentTag, t.Value)
}

func checkExperimentName(name string) error {
	if name == "" {
		return invalid("Invalid experiment name: ''")
	}
	return tooLong("name", maxExperimentName, name)
}

func checkRunID(id string) error {
	if id == "" || !plainLetter(rune(id[0])) || !only(id, inRunID) || utf8.RuneCountInString(id) > maxRunID {
		return invalid("Invalid value %s for parameter 'run_id' supplied.", string(appendText(nil, id)))
	}
	return nil
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

// checkCounts checks how much a batch holds.
func checkCounts(b track.Batch) error {
	for _, c := range []struct {
		what       string
		limit, got int
	}{
		{"metrics", maxMetrics, len(b.Metrics)}, {"params", maxParamsOrTags, len(b.Params)}, {"tags", maxParamsOrTags, len(b.Tags)},
		{"metrics, params, and tags", maxEntities, len(b.Metrics) + len(b.Params) + len(b.Tags)},
	} {
		if c.got > c.limit {
			return invalid("A batch logging request can contain at most %d %s. Got %d %s. Please split up %s across multiple requests and try again.",
				c.limit, c.what, c.got, c.what, c.what)
		}
	}
	return nil
}

// checkUnique refuses a batch with two values for one param.
func checkUnique(params []track.Pair) error {
	seen := map[string]bool{}
	var twice []string
	for _, p := range params {
		if seen[p.Key] {
			twice = append(twice, "'"+p.Key+"'")
		}
		seen[p.Key] = true
	}
	if len(twice) == 0 {
		return nil
	}
	return invalid("Duplicate parameter keys have been submitted: [%s]. Please ensure the request contains only one param value per param key.", strings.Join(twice, ", "))
}

// metric reads and checks one metric.
func (r *request) metric(v *fastjson.Value, at string) track.Metric {
	m := track.Metric{}
	var given bool
	if m.Key, given = r.textOf(v, at, "key"); !given || m.Key == "" {
		r.missing(join(at, "key"))
		return m
	}
	value, stamp := v.Get("value"), v.Get("timestamp")
	if value == nil || value.Type() == fastjson.TypeNull {
		r.missing(join(at, "value"))
		return m
	}
	if stamp == nil || stamp.Type() == fastjson.TypeNull {
		r.missing(join(at, "timestamp"))
		return m
	}
	if err := checkName(m.Key, join(at, "name")); err != nil {
		r.fail(err)
		return m
	}
	var ok bool
	if m.Value, ok = floatOf(value); !ok {
		r.fail(invalid("Invalid value %s for parameter '%s' supplied: (timestamp=%s). Please specify value as a valid double (64-bit floating point)%s", value, join(at, "value"), stamp, seeDocs))
	}
	if m.Time, ok = wholeOf(stamp); !ok || m.Time < 0 {
		r.fail(invalid("Invalid value %s for parameter '%s' supplied: metric '%s' (value=%s). Timestamp must be a nonnegative long (64-bit integer) ", stamp, join(at, "timestamp"), m.Key, value))
	}
	if step := v.Get("step"); step != nil && step.Type() != fastjson.TypeNull {
		if m.Step, ok = wholeOf(step); !ok {
			r.fail(invalid("Invalid value %s for parameter '%s' supplied: metric '%s' (value=%s). Step must be a valid long (64-bit integer).", step, join(at, "step"), m.Key, value))
		}
	}
	if err := tooLong("Metric name", maxKey, m.Key); err != nil {
		r.fail(err)
	}
	m.Model, _ = r.textOf(v, at, "model_id")
	m.DatasetName, _ = r.textOf(v, at, "dataset_name")
	m.DatasetDigest, _ = r.textOf(v, at, "dataset_digest")
	return m
}

// pairs reads an array of {key, value}.
func (r *request) pairs(name string) []track.Pair {
	var all []track.Pair
	for i, v := range r.list(name) {
		at := fmt.Sprintf("%s[%d]", name, i)
		var p track.Pair
		if p.Key, _ = r.textOf(v, at, "key"); p.Key == "" {
			r.missing(at + ".key")
			return nil
		}
		p.Value, _ = r.textOf(v, at, "value")
		all = append(all, p)
	}
	return all
}

// checkInput checks a dataset that a run read.
func checkInput(in track.Input) error {
	for _, c := range []struct {
		what  string
		limit int
		value string
	}{
		{"name", maxDatasetName, in.Name}, {"digest", maxDatasetDigest, in.Digest}, {"source", maxDatasetSource, in.Source},
		{"schema", maxDatasetSchema, in.Schema}, {"profile", maxDatasetProfile, in.Profile},
	} {
		if err := tooLong(c.what, c.limit, c.value); err != nil {
			return err
		}
	}
	for _, t := range in.Tags {
		if err := tooLong("key", maxInputTagKey, t.Key); err != nil {
			return err
		}
		if err := tooLong("value", maxInputTagValue, t.Value); err != nil {
			return err
		}
	}
	return nil
}

// pageSize reads max_results.
func (r *request) pageSize(otherwise int64) int {
	n := r.whole("max_results", otherwise)
	switch {
	case n < 1:
		r.fail(invalid("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer", n))
	case n > maxResults:
		r.fail(invalid("Invalid value %d for parameter 'max_results' supplied. It must be at most %d", n, maxResults))
	}
	return int(n)
}

// view reads view_type or run_view_type, by name or number.
func (r *request) view(name string) track.View {
	text := ""
	if r.body == nil {
		text = r.query.Get(name)
	} else if v := r.field(name); v != nil {
		text = strings.Trim(v.String(), `"`)
	}
	switch text {
	case "", "ACTIVE_ONLY", "1":
		return track.ActiveOnly
	case "DELETED_ONLY", "2":
		return track.DeletedOnly
	case "ALL", "3":
		return track.All
	}
	r.fail(invalid("Invalid value '%s' for parameter '%s' supplied: use ACTIVE_ONLY, DELETED_ONLY or ALL", text, name))
	return track.ActiveOnly
}
