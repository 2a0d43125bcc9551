package project

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// An Instance is a step with one combination of the values of its matrix, or
// one try of its sweep.
type Instance struct {
	Name   string            // folds[fold=1]; unique in the step, and the same each time
	Label  string            // fold=1: what Name has in brackets, in letters, digits, and = , . _ + -, so that a folder can have this name
	Values map[string]string // of its own
	Params map[string]string // the run's, and its own in their place
}

// Instances lists a step's instances for a run with these parameters, in the
// order of the file, the last axis fastest; at most MaxInstances. A step
// without matrix and sweep has one, with the step's own name and no label.
func (s Step) Instances(params map[string]string) []Instance {
	var tries [][]string
	var names []string
	switch {
	case s.Sweep != nil && len(s.Sweep.Random) > 0:
		tries = s.Sweep.draw(s.Name)
		for _, one := range s.Sweep.Random {
			names = append(names, one.Param)
		}
	case s.Sweep != nil:
		names, tries = combinations(s.Sweep.Grid)
	case len(s.Matrix) > 0:
		names, tries = combinations(s.Matrix)
	default:
		return []Instance{{Name: s.Name, Values: map[string]string{}, Params: maps.Clone(params)}}
	}
	labels := map[string]bool{}
	list := make([]Instance, len(tries))
	for i, values := range tries {
		one := Instance{Values: map[string]string{}, Params: map[string]string{}}
		maps.Copy(one.Params, params)
		parts := make([]string, len(names))
		for j, name := range names {
			one.Values[name], one.Params[name] = values[j], values[j]
			parts[j] = name + "=" + values[j]
		}
		one.Label = label(strings.Join(parts, ","))
		if labels[one.Label] { // two texts that differ only in what no folder can be called
			one.Label += "-" + strconv.Itoa(i)
		}
		labels[one.Label] = true
		one.Name = s.Name + "[" + one.Label + "]"
		list[i] = one
	}
	return list
}

// label makes a text fit for the name of a folder.
func label(text string) string {
	text = strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("=,._+-", c) {
			return c
		}
		return '_'
	}, text)
	if len(text) <= 100 {
		return text
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(text))
	return fmt.Sprintf("%s-%016x", text[:80], sum.Sum64())
}

func combinations(axes []Axis) (names []string, tries [][]string) {
	tries = [][]string{nil}
	for _, a := range axes {
		names = append(names, a.Param)
		var longer [][]string
		for _, t := range tries {
			for _, v := range a.Values {
				longer = append(longer, append(append([]string(nil), t...), v))
			}
		}
		tries = longer
	}
	return names, tries
}

// draw makes the tries of a random search. The numbers come from PCG-DXSM
// (O'Neill, 2014) seeded by the sweep's seed and the step's name, and are made
// from its bits here, so that no version of a library changes them. The same
// try is never drawn twice; where no new one is left there are fewer.
func (s Sweep) draw(step string) [][]string {
	name := fnv.New64a()
	_, _ = name.Write([]byte(step))
	source := rand.NewPCG(s.Seed, name.Sum64())
	unit := func() float64 { return float64(source.Uint64()>>11) / (1 << 53) }
	seen := map[string]bool{}
	var tries [][]string
	for attempts := 0; len(tries) < min(s.Count, MaxInstances) && attempts < 100*s.Count; attempts++ {
		try := make([]string, len(s.Random))
		for i, one := range s.Random {
			try[i] = one.at(unit())
		}
		if key := strings.Join(try, "\x00"); !seen[key] {
			seen[key] = true
			tries = append(tries, try)
		}
	}
	return tries
}

// at is the value at a place between 0 and 1 of the range. A number that need
// not be whole is rounded to six digits: more say nothing, and nobody can read
// them.
func (r Range) at(u float64) string {
	if len(r.Values) > 0 {
		return r.Values[min(int(u*float64(len(r.Values))), len(r.Values)-1)]
	}
	low, high := r.Low, r.High
	if r.Int {
		high++ // each whole number as likely as another
	}
	v := low + u*(high-low)
	if r.Log {
		v = low * math.Pow(high/low, u)
	}
	if r.Int {
		return decimal(min(math.Floor(v), r.High))
	}
	v, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
	if err != nil {
		v = low // not reached: it was formatted just before
	}
	return decimal(min(max(v, r.Low), r.High))
}
