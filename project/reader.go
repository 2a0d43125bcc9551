package project

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline/internal/words"
)

// A reader turns nodes into values and collects what is wrong on the way. It
// never stops at a mistake: a value that cannot be read is left zero, and the
// rest is looked at all the same.
type reader struct {
	name     string
	mistakes []Mistake
	files    []fileRef
}

// A fileRef is a file that the configuration names, and where it does.
type fileRef struct {
	node   *yaml.Node
	what   string
	path   string
	folder bool // may be a folder

	pattern bool   // has to fit at least one file
	beside  string // has to be in the same folder; empty: nothing
}

func (r *reader) at(n *yaml.Node, format string, args ...any) {
	r.mistakes = append(r.mistakes, Mistake{Line: max(n.Line, 1), Column: max(n.Column, 1), Message: fmt.Sprintf(format, args...)})
}

func (r *reader) err() error {
	if len(r.mistakes) == 0 {
		return nil
	}
	slices.SortStableFunc(r.mistakes, func(a, b Mistake) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	// One value may be reached twice through an alias.
	return &Mistakes{Name: r.name, List: slices.Compact(r.mistakes)}
}

// follow replaces an alias by what it stands for.
func follow(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// found describes a node for a message.
func found(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	if isNull(n) {
		return "nothing"
	}
	return fmt.Sprintf("%q", clip(n.Value, 60))
}

// clip shortens text to about n bytes for a message.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}

// An entry is one key of a map with its value, aliases followed.
type entry struct {
	key   *yaml.Node
	name  string
	value *yaml.Node
}

// entries lists a map in file order. what names the map in messages, and
// holds what it should hold.
func (r *reader) entries(n *yaml.Node, what, holds string) []entry {
	if n.Kind != yaml.MappingNode {
		r.at(n, "%s: expected %s, got %s", what, holds, found(n))
		return nil
	}
	return r.flatten(n, what, map[*yaml.Node]bool{})
}

// flatten lists the keys of a map and of those merged into it by <<. A key of
// its own wins over a merged one, an earlier merged map over a later one; so
// a map met for the second time has nothing to add, which also ends cycles.
func (r *reader) flatten(n *yaml.Node, what string, seen map[*yaml.Node]bool) []entry {
	if seen[n] {
		return nil
	}
	seen[n] = true
	var list []entry
	first := map[string]*yaml.Node{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := follow(n.Content[i]), follow(n.Content[i+1])
		switch {
		case key.Kind != yaml.ScalarNode:
			r.at(key, "%s: expected a word as key, got %s", what, found(key))
		case key.ShortTag() == "!!merge":
			merged = append(merged, value)
		case first[key.Value] != nil:
			r.at(key, "%s: %q stands here twice, first in line %d: remove one", what, clip(key.Value, 60), first[key.Value].Line)
		default:
			first[key.Value] = key
			list = append(list, entry{key: key, name: key.Value, value: value})
		}
	}
	for _, m := range merged {
		maps := []*yaml.Node{m}
		if m.Kind == yaml.SequenceNode {
			maps = m.Content
		}
		for _, one := range maps {
			one = follow(one)
			if one.Kind != yaml.MappingNode {
				r.at(one, "%s: << takes a map or a list of maps, got %s", what, found(one))
				continue
			}
			for _, e := range r.flatten(one, what, seen) {
				if first[e.name] == nil {
					first[e.name] = e.key
					list = append(list, e)
				}
			}
		}
	}
	return list
}

// fields are the known keys of a map.
type fields struct {
	node *yaml.Node
	at   map[string]entry
}

// section reads a map whose keys are known, and reports those that are not.
func (r *reader) section(n *yaml.Node, what string, known ...string) fields {
	f := fields{node: n, at: map[string]entry{}}
	for _, e := range r.entries(n, what, "a map with "+strings.Join(known, ", ")) {
		if !slices.Contains(known, e.name) {
			r.at(e.key, "%s: unknown key %q: %s", what, clip(e.name, 60), words.DidYouMean(e.name, known))
			continue
		}
		f.at[e.name] = e
	}
	return f
}

// value returns the node of a key, or nil.
func (f fields) value(name string) *yaml.Node { return f.at[name].value }

// has reports whether the key is there, whatever it holds.
func (f fields) has(name string) bool { return f.at[name].key != nil }

// keyOf is where the map under a key has the name, or the key itself.
func (f fields) keyOf(key, name string) *yaml.Node {
	n := f.value(key)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := follow(n.Content[i]); k.Value == name {
			return k
		}
	}
	return f.at[key].key
}

// text reads a string that is not blank. example shows what would do. A number or a
// truth value is refused rather than guessed at: 1.10 would become 1.1.
func (r *reader) text(n *yaml.Node, what, example string) string {
	if n == nil {
		return ""
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && strings.TrimSpace(n.Value) != "":
		if strings.ContainsRune(n.Value, 0) {
			r.at(n, "%s: holds a zero byte", what)
			return ""
		}
		return strings.TrimSpace(n.Value)
	case n.Kind == yaml.ScalarNode && !isNull(n) && n.Value != "" && n.ShortTag() != "!!str":
		r.at(n, "%s: expected text, got the value %s: put it in quotes", what, clip(n.Value, 60))
	default:
		r.at(n, "%s: expected text, such as %s, got %s", what, example, found(n))
	}
	return ""
}

// texts reads a list of strings; one string alone is a list of one.
func (r *reader) texts(n *yaml.Node, what, example string) []string {
	var list []string
	for _, one := range r.items(n) {
		if s := r.text(one, what, example); s != "" {
			if slices.Contains(list, s) {
				r.at(one, "%s: %q stands here twice: remove one", what, clip(s, 60))
				continue
			}
			list = append(list, s)
		}
	}
	return list
}

// items are the nodes of a list, aliases followed; anything else is its own
// only item.
func (r *reader) items(n *yaml.Node) []*yaml.Node {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return []*yaml.Node{n}
	}
	list := make([]*yaml.Node, len(n.Content))
	for i, one := range n.Content {
		list[i] = follow(one)
	}
	return list
}

// word reads one of the known words.
func (r *reader) word(n *yaml.Node, what, otherwise string, known ...string) string {
	if n == nil {
		return otherwise
	}
	s := r.text(n, what, known[0])
	if s == "" || slices.Contains(known, s) {
		return s
	}
	r.at(n, "%s: expected %s, got %q: %s", what, words.OrList(known), clip(s, 60), words.DidYouMean(s, known))
	return otherwise
}

// truth reads true or false.
func (r *reader) truth(n *yaml.Node, what string, otherwise bool) bool {
	if n == nil {
		return otherwise
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
		return strings.EqualFold(n.Value, "true")
	}
	r.at(n, "%s: expected true or false, got %s", what, found(n))
	return otherwise
}

// file reads the name of a file inside the project.
func (r *reader) file(n *yaml.Node, what, example string, folder bool) string {
	s := r.inside(n, what, example, folder)
	if s != "" {
		r.files = append(r.files, fileRef{node: n, what: what, path: s, folder: folder})
	}
	return s
}

// inside reads a path inside the project, whether anything is there or not.
func (r *reader) inside(n *yaml.Node, what, example string, folder bool) string {
	s := r.text(n, what, example)
	if s == "" {
		return ""
	}
	clean := path.Clean(s)
	switch {
	case strings.Contains(s, "://"):
		r.at(n, "%s: expected a path inside the project, such as %s, got an address", what, example) // which may hold a password
	case strings.Contains(s, `\`):
		r.at(n, "%s: %q: write folders with /", what, clip(s, 60))
	case !fs.ValidPath(clean) || clean == "." && !folder:
		r.at(n, "%s: %q: expected a path inside the project, such as %s", what, clip(s, 60), example)
	default:
		return clean
	}
	return ""
}

// later reports a key that this version knows of but cannot serve. Ignoring it
// would let somebody believe that it works.
func (r *reader) later(f fields, what string, names ...string) {
	for _, name := range names {
		if e, ok := f.at[name]; ok {
			r.at(e.key, "%s.%s is not supported by this version yet: remove it", what, name)
		}
	}
}
