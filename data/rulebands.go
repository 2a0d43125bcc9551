package data

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// band reads one of
//
//	true                                calibrated against the reference
//	{min: 20, max: 30}
//	{reference: 26.4, tolerance: 15%}
//	{tolerance: 15%, against: sales:4}  of the reference's figure
//	{alarms: 0.1%}                      calibrated at a rate of its own
func (p *ruleParser) band(n *yaml.Node, what string) (bandRule, bool) {
	b := bandRule{}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" {
		b.calibrated = p.boolean(n, what)
		return b, b.calibrated
	}
	before := len(p.mistakes)
	at := map[string]*yaml.Node{}
	p.mapping(n, what, []string{"reference", "tolerance", "min", "max", "alarms", "against"}, func(key string, _, v *yaml.Node) {
		at[key] = v
		what := what + ": " + key
		switch key {
		case "reference":
			b.reference = p.number(v, what)
		case "tolerance":
			b.tolerance, b.relative = p.tolerance(v, what)
		case "min":
			b.min = p.number(v, what)
		case "max":
			b.max = p.number(v, what)
		case "alarms":
			b.alarms = p.rate(v, what)
		case "against":
			b.against = p.dataset(v, what)
		}
	})
	if len(p.mistakes) > before {
		return b, false
	}
	limits := b.min != nil || b.max != nil
	switch {
	case len(at) == 0, at["reference"] != nil && at["tolerance"] == nil:
		p.wrong(n, "%s: expected both, such as {reference: 26.4, tolerance: 15%%}, or {min: 20, max: 30}", what)
	case limits && (at["reference"] != nil || at["tolerance"] != nil || at["alarms"] != nil):
		p.wrong(n, "%s: min and max stand alone: expected {min: 20, max: 30} or {reference: 26.4, tolerance: 15%%}", what)
	case at["tolerance"] != nil && at["alarms"] != nil:
		p.wrong(at["alarms"], "%s: a tolerance is fixed and alarms are calibrated: expected one of them", what)
	case at["reference"] != nil && at["against"] != nil:
		p.wrong(at["against"], "%s: expected a reference or against, not both", what)
	case b.min != nil && b.max != nil && *b.min > *b.max:
		p.wrong(n, "%s: min %g is above max %g", what, *b.min, *b.max)
	case b.relative && b.reference != nil && *b.reference == 0:
		p.wrong(at["tolerance"], "%s: tolerance: a percentage of reference 0 is nothing; write an absolute tolerance", what)
	}
	b.calibrated = !limits && at["tolerance"] == nil
	if at["reference"] != nil {
		b.text = at["reference"].Value
	}
	if at["tolerance"] != nil {
		b.text = fmt.Sprintf("%s ± %s", b.text, at["tolerance"].Value)
	}
	return b, len(p.mistakes) == before
}

func (p *ruleParser) tolerance(n *yaml.Node, what string) (v float64, relative bool) {
	text, relative := strings.CutSuffix(n.Value, "%")
	v, ok := p.float(text)
	if n.Kind != yaml.ScalarNode || !ok || !(v > 0) {
		p.wrong(n, "%s: expected a positive number or percentage such as 15%%, found %s", what, describe(n))
		return 0, false
	}
	if relative {
		v /= 100
	}
	return v, relative
}

// quantiles reads a mapping from 50% or 0.5 to bands.
func (p *ruleParser) quantiles(n *yaml.Node, what string) []bandRule {
	var out []bandRule
	p.mapping(n, what, nil, func(key string, k, v *yaml.Node) {
		q := p.share(k, what, 0)
		if q != nil && *q > 1 {
			p.wrong(k, "%s: expected a quantile such as 50%%, found %s", what, describe(k))
			return
		}
		b, ok := p.band(v, what+": "+key)
		switch {
		case !ok || q == nil:
			return
		case b.calibrated:
			p.wrong(v, "%s: %s: expected {min, max}, {reference, tolerance} or {tolerance}; for a calibrated comparison use ks", what, key)
			return
		}
		b.rule, b.quantile, b.label = "quantiles", *q, key
		out = append(out, b)
	})
	return out
}

// shift reads true, a fixed threshold, or
// {max: 0.2, min_effect: 0.02, alarms: 0.1%, against: sales:4}.
func (p *ruleParser) shift(n *yaml.Node, what string) (shiftRule, bool) {
	s := shiftRule{}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" {
		return s, p.boolean(n, what)
	}
	if n.Kind == yaml.ScalarNode {
		s.max = p.limit(n, what)
		return s, s.max != nil
	}
	before := len(p.mistakes)
	p.mapping(n, what, []string{"max", "min_effect", "alarms", "against"}, func(key string, _, v *yaml.Node) {
		what := what + ": " + key
		switch key {
		case "max":
			s.max = p.limit(v, what)
		case "min_effect":
			if least := p.limit(v, what); least != nil {
				s.minEffect = *least
			}
		case "alarms":
			s.alarms = p.rate(v, what)
		case "against":
			s.against = p.dataset(v, what)
		}
	})
	if s.max != nil && (s.alarms > 0 || s.minEffect > 0) {
		p.wrong(n, "%s: max is a fixed threshold; alarms and min_effect belong to a calibrated one", what)
	}
	return s, n.Kind == yaml.MappingNode && len(p.mistakes) == before
}

func (p *ruleParser) limit(n *yaml.Node, what string) *float64 {
	v, ok := p.float(n.Value)
	if n.Kind != yaml.ScalarNode || !ok || v < 0 {
		p.wrong(n, "%s: expected true, or a threshold such as 0.2, found %s", what, describe(n))
		return nil
	}
	return &v
}

// categories reads true or {new: 1%, vanished: any, alarms, against}.
func (p *ruleParser) categories(n *yaml.Node, what string) (shiftRule, bool) {
	s := shiftRule{}
	if n.Kind == yaml.ScalarNode {
		return s, p.boolean(n, what)
	}
	before := len(p.mistakes)
	p.mapping(n, what, []string{"new", "vanished", "alarms", "against"}, func(key string, _, v *yaml.Node) {
		what := what + ": " + key
		switch whatever := -1.0; {
		case (key == "new" || key == "vanished") && v.Value == "any":
			if key == "new" {
				s.fresh = &whatever
			} else {
				s.vanished = &whatever
			}
		case key == "new":
			if s.fresh = p.share(v, what, 0); s.fresh != nil && *s.fresh > 1 {
				p.wrong(v, "%s: expected a share of the rows such as 1%%, or any, found %s", what, describe(v))
			}
		case key == "vanished":
			if n := p.count(v, what, "values"); n != nil {
				f := float64(*n)
				s.vanished = &f
			}
		case key == "alarms":
			s.alarms = p.rate(v, what)
		case key == "against":
			s.against = p.dataset(v, what)
		}
	})
	return s, n.Kind == yaml.MappingNode && len(p.mistakes) == before
}
