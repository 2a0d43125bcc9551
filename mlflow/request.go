package mlflow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

// A request is what a client sent: a JSON object, or the parameters of a GET.
// Fields are read as protobuf's JSON has them: whole numbers and numbers may be
// text, NaN and the infinities are.
//
// The first field that is wrong is remembered as err, and what is read after it
// is zero; a handler reads all its fields and asks once.
type request struct {
	http  *http.Request
	body  *fastjson.Value // an object; nil for a GET
	query url.Values
	size  int // of the body, bytes
	err   error

	// answered is called at the end of a request that has changed something: with
	// true when its answer has been sent.
	answered func(sent bool)
}

func read(r *http.Request, parser *fastjson.Parser) (*request, error) {
	req := &request{http: r}
	if r.Method == http.MethodGet {
		req.query = r.URL.Query()
		return req, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "the request is larger than %d bytes: send less at once", maxBody)
		}
		return nil, &badRequest{fmt.Sprintf("the request ended after %d bytes, before its end: %v", len(body), err)}
	}
	req.size = len(body)
	if len(body) == 0 { // MLflow takes no body for an empty one
		body = []byte("{}")
	}
	v, err := parser.ParseBytes(body)
	if err == nil && v.Type() == fastjson.TypeString { // an old client, which encodes twice
		v, err = parser.ParseBytes(append([]byte(nil), v.GetStringBytes()...))
	}
	if err != nil {
		return nil, &badRequest{fmt.Sprintf("the request is not JSON: %v", err)}
	}
	if v.Type() == fastjson.TypeNull {
		v = fastjson.MustParse("{}")
	}
	if v.Type() != fastjson.TypeObject {
		return nil, &badRequest{fmt.Sprintf("the request is a JSON %s: expected an object", v.Type())}
	}
	req.body = v
	return req, nil
}

// fail remembers the first error.
func (r *request) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

const seeDocs = " See the API docs for more information about request parameters."

func (r *request) missing(name string) {
	r.fail(ridgeline.Errorf(ridgeline.Invalid, "Missing value for required parameter '%s'.%s", name, seeDocs))
}

func (r *request) wrong(name string, v *fastjson.Value) {
	kind := map[fastjson.Type]string{
		fastjson.TypeString: "str", fastjson.TypeNumber: "float", fastjson.TypeTrue: "bool", fastjson.TypeFalse: "bool", fastjson.TypeArray: "list", fastjson.TypeObject: "dict",
	}[v.Type()]
	if v.Type() == fastjson.TypeNumber && !strings.ContainsAny(v.String(), ".eE") {
		kind = "int"
	}
	r.fail(ridgeline.Errorf(ridgeline.Invalid, "Invalid value %s for parameter '%s' supplied:  Hint: Value was of type '%s'.%s", v, name, kind, seeDocs))
}

// field is the value of a field; nil when it is absent or null.
func (r *request) field(name string) *fastjson.Value {
	if r.body == nil {
		return nil
	}
	if v := r.body.Get(name); v != nil && v.Type() != fastjson.TypeNull {
		return v
	}
	return nil
}

// has reports whether the client sent the field.
func (r *request) has(name string) bool {
	return r.field(name) != nil || r.query.Has(name)
}

// text reads text; absent is empty.
func (r *request) text(name string) string {
	if r.body == nil {
		return r.query.Get(name)
	}
	v := r.field(name)
	if v == nil {
		return ""
	}
	if v.Type() != fastjson.TypeString {
		r.wrong(name, v)
		return ""
	}
	return string(v.GetStringBytes())
}

// given reads an id that a caller chose for what is to be made, which is not of
// MLflow's protocol: copies from elsewhere keep their ids.
func (r *request) given(ctx context.Context, name string) string {
	id := r.text(name)
	if id == "" || r.err != nil {
		return ""
	}
	if r.mayGive(ctx, name); r.err == nil && !givenID.MatchString(id) {
		r.fail(invalid("Invalid %s '%s': 1 to 64 letters, digits, dashes and underscores were expected", name, id))
	}
	return id
}

// givenTime reads when something was made, in milliseconds; 0: now.
func (r *request) givenTime(ctx context.Context, name string) int64 {
	at := r.whole(name, 0)
	if at != 0 {
		r.mayGive(ctx, name)
	}
	return at
}

// when is givenTime as a moment.
func (r *request) when(ctx context.Context, name string) time.Time {
	if at := r.givenTime(ctx, name); at != 0 {
		return time.UnixMilli(at)
	}
	return time.Now()
}

func (r *request) mayGive(ctx context.Context, name string) {
	if p := auth.From(ctx); p.Run != "" || !p.Role.Allows(ridgeline.Admin) {
		r.fail(ridgeline.Errorf(ridgeline.Denied, "only an administrator chooses a %s: leave it out", name))
	}
}

var givenID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// need reads text that may not be empty.
func (r *request) need(name string) string {
	s := r.text(name)
	if s == "" {
		r.missing(name)
	}
	return s
}

// run reads the id of a run, by either of its names.
func (r *request) run() string {
	id := r.text("run_id")
	if id == "" {
		id = r.text("run_uuid")
	}
	if id == "" {
		r.missing("run_id")
	}
	return id
}

// experiment reads the id of an experiment.
func (r *request) experiment(text string) int64 {
	id, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil && r.err == nil {
		r.fail(ridgeline.Errorf(ridgeline.Invalid, "Invalid experiment ID '%s'. Experiment ID must be a valid integer.", text))
	}
	return id
}

// whole reads a whole number; absent is otherwise.
func (r *request) whole(name string, otherwise int64) int64 {
	if r.body == nil {
		if !r.query.Has(name) {
			return otherwise
		}
		n, err := strconv.ParseInt(r.query.Get(name), 10, 64)
		if err != nil {
			r.fail(ridgeline.Errorf(ridgeline.Invalid, "Invalid value %q for parameter '%s' supplied:  Hint: Value was of type 'str'.%s", r.query.Get(name), name, seeDocs))
		}
		return n
	}
	v := r.field(name)
	if v == nil {
		return otherwise
	}
	n, ok := wholeOf(v)
	if !ok {
		r.wrong(name, v)
	}
	return n
}

func wholeOf(v *fastjson.Value) (int64, bool) {
	switch v.Type() {
	case fastjson.TypeNumber:
		if n, err := v.Int64(); err == nil {
			return n, true
		}
		f, err := v.Float64()
		return int64(f), err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<63
	case fastjson.TypeString:
		n, err := strconv.ParseInt(string(v.GetStringBytes()), 10, 64)
		return n, err == nil
	}
	return 0, false
}

func floatOf(v *fastjson.Value) (float64, bool) {
	switch v.Type() {
	case fastjson.TypeNumber:
		f, err := strconv.ParseFloat(v.String(), 64) // correctly rounded, where the parser's own is off by a bit
		return f, err == nil
	case fastjson.TypeString:
		switch s := string(v.GetStringBytes()); s {
		case "NaN":
			return math.NaN(), true
		case "Infinity":
			return math.Inf(1), true
		case "-Infinity":
			return math.Inf(-1), true
		default:
			f, err := strconv.ParseFloat(s, 64)
			return f, err == nil
		}
	}
	return 0, false
}

// list reads an array; absent is empty.
func (r *request) list(name string) []*fastjson.Value {
	v := r.field(name)
	if v == nil {
		return nil
	}
	all, err := v.Array()
	if err != nil {
		r.wrong(name, v)
	}
	return all
}

// texts reads an array of text, or the values of a parameter given often.
func (r *request) texts(name string) []string {
	if r.body == nil {
		return r.query[name]
	}
	var all []string
	for _, v := range r.list(name) {
		if v.Type() != fastjson.TypeString {
			r.wrong(name, r.field(name))
			return nil
		}
		all = append(all, string(v.GetStringBytes()))
	}
	return all
}

// experiments reads an array of ids of experiments.
func (r *request) experiments(name string) []int64 {
	var all []int64
	for _, text := range r.texts(name) {
		all = append(all, r.experiment(text))
	}
	return all
}

// textOf is a text field of an object inside; absent is empty and false.
func (r *request) textOf(v *fastjson.Value, path, name string) (string, bool) {
	f := v.Get(name)
	if f == nil || f.Type() == fastjson.TypeNull {
		return "", false
	}
	if f.Type() != fastjson.TypeString {
		r.wrong(path+"."+name, f)
		return "", false
	}
	return string(f.GetStringBytes()), true
}
