package data

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline/internal/words"
)

func unknownKey(word string, known []string) string {
	return fmt.Sprintf("unknown key %q: %s", word, words.DidYouMean(word, known))
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.Tag == "!!null" {
		return "nothing"
	}
	return strconv.Quote(n.Value)
}

func (p *ruleParser) rows(n *yaml.Node, what string) *int64 { return p.count(n, what, "rows") }

func (p *ruleParser) count(n *yaml.Node, what, of string) *int64 {
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 {
		p.wrong(n, "%s: expected a number of %s, found %s", what, of, describe(n))
		return nil
	}
	return &v
}

func (p *ruleParser) boolean(n *yaml.Node, what string) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		p.wrong(n, "%s: expected true or false, found %s", what, describe(n))
	}
	return strings.EqualFold(n.Value, "true")
}

func (p *ruleParser) float(text string) (float64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

func (p *ruleParser) number(n *yaml.Node, what string) *float64 {
	v, ok := p.float(n.Value)
	if n.Kind != yaml.ScalarNode || !ok {
		p.wrong(n, "%s: expected a number, found %s", what, describe(n))
		return nil
	}
	return &v
}

// share reads 5% or 0.05; at least min.
func (p *ruleParser) share(n *yaml.Node, what string, min float64) *float64 {
	text, percent := strings.CutSuffix(n.Value, "%")
	v, ok := p.float(text)
	if percent {
		v /= 100
	}
	if n.Kind != yaml.ScalarNode || !ok || v < min {
		p.wrong(n, "%s: expected a share such as 5%%, found %s", what, describe(n))
		return nil
	}
	return &v
}

// rate reads a probability of alarms.
func (p *ruleParser) rate(n *yaml.Node, what string) float64 {
	v := p.share(n, what, 0)
	if v != nil && (*v < 1e-9 || *v > 0.5) {
		p.wrong(n, "%s: expected how many good deliveries may raise an alarm, such as 1%%, found %s", what, describe(n))
		return defaultAlarms
	}
	if v == nil {
		return defaultAlarms
	}
	return *v
}

func (p *ruleParser) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "" || strings.ContainsRune(n.Value, 0) {
		p.wrong(n, "%s: expected text, found %s", what, describe(n))
		return ""
	}
	return n.Value
}

func (p *ruleParser) texts(n *yaml.Node, what string) []string {
	if n.Kind == yaml.ScalarNode {
		return []string{p.text(n, what)}
	}
	if n.Kind != yaml.SequenceNode {
		p.wrong(n, "%s: expected a list of columns, found %s", what, describe(n))
		return nil
	}
	var out []string
	for _, v := range n.Content {
		out = append(out, p.text(resolve(v), what))
	}
	return out
}

func (p *ruleParser) choice(n *yaml.Node, what string, known []string) string {
	if n.Kind == yaml.ScalarNode && slices.Contains(known, n.Value) {
		return n.Value
	}
	hint := ""
	near, ok := words.Nearest(n.Value, known)
	if !ok {
		near, ok = importedType(n.Value) // float and varchar are what others say
		ok = ok && slices.Contains(known, near)
	}
	if n.Kind == yaml.ScalarNode && ok {
		hint = "; did you mean " + near + "?"
	}
	p.wrong(n, "%s: expected one of %s, found %s%s", what, strings.Join(known, ", "), describe(n), hint)
	return ""
}

// duration reads Go's durations and days.
func (p *ruleParser) duration(n *yaml.Node, what string) time.Duration {
	text := n.Value
	var days float64
	if head, rest, ok := strings.Cut(text, "d"); ok {
		days, ok = p.float(head)
		if text = rest; !ok {
			text = "?"
		}
	}
	var v time.Duration
	var err error
	if text != "" || days == 0 {
		v, err = time.ParseDuration(text)
	}
	v += time.Duration(days * 24 * float64(time.Hour))
	if n.Kind != yaml.ScalarNode || err != nil || v <= 0 {
		p.wrong(n, "%s: expected a duration such as 36h or 7d, found %s", what, describe(n))
		return 0
	}
	return v
}

func (p *ruleParser) bound(n *yaml.Node, what string) *bound {
	if n.Kind == yaml.ScalarNode {
		for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05", time.RFC3339} {
			if t, err := time.Parse(layout, n.Value); err == nil {
				return &bound{text: n.Value, time: t.UTC().Format("2006-01-02 15:04:05")}
			}
		}
		if v, ok := p.float(n.Value); ok {
			return &bound{text: n.Value, number: v}
		}
	}
	p.wrong(n, "%s: expected a number or a date such as 2026-01-31, found %s", what, describe(n))
	return nil
}

func (p *ruleParser) values(n *yaml.Node, what string) *valueSet {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		p.wrong(n, "%s: expected a list such as [a, b], found %s", what, describe(n))
		return nil
	}
	set := &valueSet{}
	for _, v := range n.Content {
		v = resolve(v)
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" || strings.ContainsRune(v.Value, 0) {
			p.wrong(v, "%s: expected texts and numbers, found %s; for missing values use nullable", what, describe(v))
			continue
		}
		set.texts = append(set.texts, v.Value)
		if f, ok := p.float(v.Value); ok && (v.Tag == "!!int" || v.Tag == "!!float") {
			set.numbers = append(set.numbers, f)
		}
	}
	return set
}

// pattern wants RE2's syntax, which Go and DuckDB share.
func (p *ruleParser) pattern(n *yaml.Node, what string) string {
	_, err := regexp.Compile(n.Value)
	switch {
	case n.Kind != yaml.ScalarNode || n.Value == "" || strings.ContainsRune(n.Value, 0):
		p.wrong(n, "%s: expected a regular expression, found %s", what, describe(n))
	case err != nil:
		p.wrong(n, "%s: %v", what, err)
	}
	return n.Value
}
