// Package query reads the search grammar of MLflow: a filter is comparisons
// joined by AND, an order is a field and a direction.
//
// It knows no table: what a field is kept in, and how to ask for it, is the
// business of those who search (package track).
package query

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/words"
)

// A Kind says what a field is of.
type Kind string

// The kinds.
const (
	Attribute Kind = "attribute"
	Metric    Kind = "metric"
	Param     Kind = "parameter"
	Tag       Kind = "tag"
	Dataset   Kind = "dataset"
)

// The operators. Equal to Match take text, numbers take the first six.
const (
	Equal     = "="
	Unequal   = "!="
	Less      = "<"
	AtMost    = "<="
	Greater   = ">"
	AtLeast   = ">="
	Like      = "LIKE"
	ILike     = "ILIKE"
	In        = "IN"
	NotIn     = "NOT IN"
	IsNull    = "IS NULL"
	IsNotNull = "IS NOT NULL"
)

var (
	numeric = []string{Equal, Unequal, Less, AtMost, Greater, AtLeast}
	textual = []string{Equal, Unequal, Like, ILike}
	listed  = []string{In, NotIn}
	missing = []string{IsNull, IsNotNull}
)

// A Term is one comparison of a filter. Of Text, Number and List it has the one
// that its field and operator ask for; IS NULL and IS NOT NULL have none.
type Term struct {
	Kind   Kind
	Key    string
	Op     string
	Text   string
	Number float64
	List   []string
	At     int // where it begins, in characters from 1
}

// An Order is one field to sort by.
type Order struct {
	Kind       Kind
	Key        string
	Descending bool
}

// A Grammar says which fields there are in one kind of search.
type Grammar struct {
	// Kinds are the names before the dot.
	Kinds map[string]Kind
	// Attributes are the names of attributes; true: a number.
	Attributes map[string]bool
	// Aliases are other names of attributes.
	Aliases map[string]string
	// Lists are the attributes that IN takes. Nil: all that are text.
	Lists []string
	// Nulls are the kinds that IS NULL takes.
	Nulls []Kind
	// Orders are the kinds that can be sorted by.
	Orders []Kind
	// NoMatch are attributes that take no LIKE.
	NoMatch []string
}

// Runs is the grammar of searching runs.
var Runs = Grammar{
	Kinds: map[string]Kind{
		"metric": Metric, "metrics": Metric, "parameter": Param, "parameters": Param, "param": Param, "params": Param, "tag": Tag, "tags": Tag,
		"attribute": Attribute, "attributes": Attribute, "attr": Attribute, "run": Attribute, "dataset": Dataset, "datasets": Dataset,
	},
	Attributes: map[string]bool{
		"run_id": false, "run_name": false, "user_id": false, "status": false, "artifact_uri": false, "start_time": true, "end_time": true,
	},
	Aliases: map[string]string{"created": "start_time", "Created": "start_time", "run name": "run_name", "Run name": "run_name", "Run Name": "run_name"},
	Lists:   []string{"run_id"},
	Nulls:   []Kind{Tag, Param},
	Orders:  []Kind{Attribute, Metric, Param, Tag},
}

// Experiments is the grammar of searching experiments.
var Experiments = Grammar{
	Kinds:      map[string]Kind{"attribute": Attribute, "tag": Tag, "tags": Tag},
	Attributes: map[string]bool{"name": false, "experiment_id": false, "creation_time": true, "last_update_time": true},
	Lists:      []string{"experiment_id"},
	Nulls:      []Kind{Tag},
	Orders:     []Kind{Attribute},
	NoMatch:    []string{"experiment_id"},
}

// LoggedModels is the grammar of searching logged models.
var LoggedModels = Grammar{
	Kinds: map[string]Kind{"attributes": Attribute, "metrics": Metric, "params": Param, "tags": Tag},
	Attributes: map[string]bool{
		"model_id": false, "experiment_id": false, "name": false, "artifact_location": false, "status": false, "lifecycle_stage": false, "model_type": false,
		"source_run_id": false, "status_message": false, "creation_timestamp_ms": true, "last_updated_timestamp_ms": true,
	},
	Aliases: map[string]string{
		"creation_time": "creation_timestamp_ms", "creation_timestamp": "creation_timestamp_ms", "last_updated_timestamp": "last_updated_timestamp_ms",
	},
	Orders: []Kind{Attribute, Metric},
}

// datasetKeys are the fields of a dataset.
var datasetKeys = []string{"name", "digest", "context"}

// Parse reads a filter; an empty one has no terms. What cannot be read is
// Invalid, and the message says where.
func (g Grammar) Parse(filter string) ([]Term, error) {
	p := &parser{grammar: g, what: "filter", text: []rune(filter)}
	p.next()
	var terms []Term
	for p.token.kind != end {
		if len(terms) > 0 {
			if !p.word("AND") {
				return nil, p.expected("AND between comparisons, or the end")
			}
			p.next()
		}
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, t)
	}
	return terms, nil
}

// ParseOrder reads a field and, optionally, ASC or DESC.
func (g Grammar) ParseOrder(order string) (Order, error) {
	p := &parser{grammar: g, what: "order_by clause", text: []rune(order)}
	p.next()
	kind, key, err := p.field()
	if err != nil {
		return Order{}, err
	}
	o := Order{Kind: kind, Key: key}
	switch {
	case p.word("DESC"):
		o.Descending = true
		p.next()
	case p.word("ASC"):
		p.next()
	}
	if p.token.kind != end {
		return Order{}, p.expected("ASC, DESC or the end")
	}
	if !slices.Contains(g.Orders, kind) {
		return Order{}, p.fail(1, fmt.Sprintf("Invalid order_by entity: %s", kind))
	}
	return o, nil
}

func (p *parser) fail(at int, message string) error {
	return ridgeline.Errorf(ridgeline.Invalid, "%s (at position %d of the %s %q)", message, at, p.what, string(p.text))
}

func (p *parser) expected(what string) error {
	found := fmt.Sprintf("'%s'", p.token.raw)
	if p.token.kind == end {
		found = "the end"
	}
	return p.fail(p.token.at, fmt.Sprintf("Invalid clause(s) in %s string: expected %s, found %s", p.what, what, found))
}

// term reads one comparison.
func (p *parser) term() (Term, error) {
	t := Term{At: p.token.at}
	var err error
	if t.Kind, t.Key, err = p.field(); err != nil {
		return t, err
	}
	at := p.token.at
	if t.Op, err = p.operator(); err != nil {
		return t, err
	}
	if allowed := p.grammar.operators(t.Kind, t.Key); !slices.Contains(allowed, t.Op) {
		return t, p.fail(at, fmt.Sprintf("Invalid comparator '%s' for %s '%s': use one of %s", t.Op, t.Kind, t.Key, strings.Join(allowed, ", ")))
	}
	switch {
	case slices.Contains(missing, t.Op):
		return t, nil
	case slices.Contains(listed, t.Op):
		t.List, err = p.list()
		return t, err
	case p.grammar.isNumber(t.Kind, t.Key):
		if p.token.kind != number {
			return t, p.expected(fmt.Sprintf("a number to compare %s '%s' with (Expected numeric value type for %s)", t.Kind, t.Key, t.Kind))
		}
		t.Number = p.token.number
	default:
		if p.token.kind != quoted {
			return t, p.expected(fmt.Sprintf("a quoted string value for %s '%s' (e.g. 'my-value')", t.Kind, t.Key))
		}
		t.Text = p.token.text
	}
	p.next()
	return t, nil
}

func (g Grammar) isNumber(kind Kind, key string) bool {
	return kind == Metric || kind == Attribute && g.Attributes[key]
}

// operators are those that a field takes.
func (g Grammar) operators(kind Kind, key string) []string {
	if g.isNumber(kind, key) {
		return numeric
	}
	ops := slices.Clone(textual)
	if slices.Contains(g.NoMatch, key) && kind == Attribute {
		ops = []string{Equal, Unequal}
	}
	if kind == Dataset || kind == Attribute && (g.Lists == nil || slices.Contains(g.Lists, key)) || g.Lists == nil && kind != Metric {
		ops = append(ops, listed...)
	}
	if slices.Contains(g.Nulls, kind) {
		ops = append(ops, missing...)
	}
	return ops
}

// field reads KIND.KEY, or the name of an attribute alone.
func (p *parser) field() (Kind, string, error) {
	at := p.token.at
	if p.token.kind != name {
		return "", "", p.expected("a field such as metrics.accuracy, params.depth, tags.team or attributes.status")
	}
	kind, key := Attribute, p.token.text
	if p.token.dotted {
		known, ok := p.grammar.Kinds[p.token.prefix]
		if !ok {
			return "", "", p.fail(at, fmt.Sprintf("Invalid entity type '%s'%s. Valid values are %s", p.token.prefix,
				meant(p.token.prefix, slices.Sorted(maps.Keys(p.grammar.Kinds))), p.grammar.kinds()))
		}
		kind = known
	}
	if alias, ok := p.grammar.Aliases[key]; ok && kind == Attribute {
		key = alias
	}
	if _, ok := p.grammar.Attributes[key]; kind == Attribute && !ok {
		valid := slices.Sorted(maps.Keys(p.grammar.Attributes))
		return "", "", p.fail(at, fmt.Sprintf("Invalid attribute key '%s' specified%s. Valid keys are '%s'", key, meant(key, valid), strings.Join(valid, "', '")))
	}
	if kind == Dataset && !slices.Contains(datasetKeys, key) {
		return "", "", p.fail(at, fmt.Sprintf("Invalid dataset key '%s' specified. Valid keys are '%s'", key, strings.Join(datasetKeys, "', '")))
	}
	p.next()
	return kind, key, nil
}

func (g Grammar) kinds() string {
	var all []string
	for _, k := range []Kind{Metric, Param, Tag, Attribute, Dataset} {
		if slices.Contains(slices.Collect(maps.Values(g.Kinds)), k) {
			all = append(all, "'"+string(k)+"'")
		}
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func meant(word string, known []string) string {
	if near, ok := words.Nearest(word, known); ok {
		return " (did you mean '" + near + "'?)"
	}
	return ""
}

// operator reads an operator of one or more words.
func (p *parser) operator() (string, error) {
	if p.token.kind == symbol && slices.Contains(numeric, p.token.raw) {
		op := p.token.raw
		p.next()
		return op, nil
	}
	for _, op := range []string{Like, ILike, In, NotIn, IsNotNull, IsNull} {
		if p.words(strings.Fields(op)) {
			return op, nil
		}
	}
	return "", p.expected("an operator (=, !=, <, <=, >, >=, LIKE, ILIKE, IN, NOT IN, IS NULL, IS NOT NULL)")
}

// list reads ('a', 'b').
func (p *parser) list() ([]string, error) {
	if p.token.raw != "(" {
		return nil, p.expected("a list such as ('a', 'b')")
	}
	p.next()
	var all []string
	for {
		if p.token.kind != quoted {
			return nil, p.expected("a quoted string in the list")
		}
		all = append(all, p.token.text)
		p.next()
		switch p.token.raw {
		case ",":
			p.next()
			if p.token.raw != ")" { // Python's tuples of one end so
				continue
			}
		case ")":
		default:
			return nil, p.expected("',' or ')' in the list")
		}
		p.next()
		return all, nil
	}
}
