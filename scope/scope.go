// Package scope holds a caller whose token is of one project to that project: it
// knows, of every route, whose things a request is about.
//
// Who a caller is, package auth finds out, and what a role may do, each route
// says for itself. Requests of MLflow's dialect name what they are about inside;
// they are held by package mlflow.
package scope

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

// A Kind is what an id in a request names, in a word that people read.
type Kind string

// The kinds.
const (
	Build      Kind = "build"
	Run        Kind = "run"
	Release    Kind = "release"
	Model      Kind = "model"
	Deployment Kind = "deployment"
	Arrival    Kind = "arrival"
	Logged     Kind = "logged run"
	Experiment Kind = "experiment"
)

// Owners say to which project a thing belongs; NotFound of what is not there.
type Owners map[Kind]func(ctx context.Context, id string) (ridgeline.ProjectName, error)

// A Keeper holds callers to their projects.
type Keeper struct {
	owners Owners
	rules  *http.ServeMux
}

// New makes a keeper. All kinds need their owners.
func New(owners Owners) *Keeper {
	k := &Keeper{owners: owners, rules: http.NewServeMux()}
	for _, r := range table {
		k.rules.HandleFunc(r.pattern, func(_ http.ResponseWriter, req *http.Request) {
			v := req.Context().Value(verdictKey{}).(*verdict)
			v.parameters, v.err = r.rule(k, req, v.who)
		})
	}
	return k
}

// verdict is what the rule of a route says.
type verdict struct {
	who        auth.Principal
	parameters url.Values // to go on with; nil: as they are
	err        error
}

type verdictKey struct{}

// Hold lets a request through as it may be answered: a list is narrowed to the
// caller's project. What is another project's is NotFound, in the words for what
// is not there at all, so that nothing is told; what is about the whole server,
// and every route that has no rule, is Denied. Requests of callers without a
// project, and of a run's steps, which other rules hold, stay as they are.
func (k *Keeper) Hold(r *http.Request) (*http.Request, error) {
	who := auth.From(r.Context())
	if !who.Scoped() {
		return r, nil
	}
	v := &verdict{who: who, err: &foreign{ridgeline.Errorf(ridgeline.Denied, "the token %q is of project %s alone; %s is about the whole server: ask with a token that is of no project", who.Name, who.Project, r.URL.Path)}}
	// The rule answers by the verdict. What else the mux may do, such as to send a
	// caller to a cleaner address, leaves it as it is: denied.
	k.rules.ServeHTTP(nowhere{}, r.WithContext(context.WithValue(r.Context(), verdictKey{}, v)))
	if v.err != nil || v.parameters == nil {
		return r, v.err
	}
	r = r.WithContext(r.Context()) // a copy
	address := *r.URL
	address.RawQuery = v.parameters.Encode()
	r.URL = &address
	return r, nil
}

// foreign says of an error that it kept somebody out, and is not about what is
// nowhere.
type foreign struct{ error }

func (f *foreign) Unwrap() error { return f.error }

// Foreign reports whether Hold refused what is there, or is about the whole
// server, so that it is worth remembering who asked.
func Foreign(err error) bool {
	var f *foreign
	return errors.As(err, &f)
}

// nowhere takes what the mux would answer by itself.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}

// elsewhere is what is told of another project's things: that they are absent.
func elsewhere(kind Kind, id string, who auth.Principal) error {
	return &foreign{absent(kind, id, who)}
}

// absent is what is told of what is not there.
func absent(kind Kind, id string, who auth.Principal) error {
	return ridgeline.Errorf(ridgeline.NotFound, "no %s %q in project %s, the only one that the token %q opens", kind, id, who.Project, who.Name)
}

// belongs refuses what is not of the caller's project.
func (k *Keeper) belongs(ctx context.Context, kind Kind, id string, who auth.Principal) error {
	owner, err := k.owners[kind](ctx, id)
	switch {
	case ridgeline.CodeOf(err) == ridgeline.NotFound:
		return absent(kind, id, who)
	case err == nil && owner != who.Project:
		return elsewhere(kind, id, who)
	}
	return err
}
