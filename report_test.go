package ridgeline_test

import (
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestCoverage(t *testing.T) {
	c := ridgeline.Coverage{Lines: 40, Covered: 35, Branches: 8, BranchesCovered: 2}
	if c.Percent() != 87.5 || c.BranchPercent() != 25 {
		t.Errorf("%v, %v; want 87.5 and 25", c.Percent(), c.BranchPercent())
	}
	if none := (ridgeline.Coverage{}); none.Percent() != 100 {
		t.Errorf("of nothing to cover, %v", none.Percent())
	}
}

func TestPipeline_Stands(t *testing.T) {
	of := func(tree, environment string, dirty bool) ridgeline.Pipeline {
		return ridgeline.Pipeline{Commit: ridgeline.Commit{Tree: tree, Dirty: dirty}, Environment: environment}
	}
	p := of("t", "e", false)
	dirty := of("t", "e", true)
	for name, test := range map[string]struct{ got, want bool }{
		"the same":                 {p.Stands(of("t", "e", false)), true},
		"another tree":             {p.Stands(of("u", "e", false)), false},
		"another environment":      {p.Stands(of("t", "f", false)), false},
		"clean for dirty":          {p.Stands(dirty), true},
		"dirty for clean":          {dirty.Stands(p), false},
		"dirty for the same again": {dirty.Stands(dirty), true},
	} {
		if test.got != test.want {
			t.Errorf("%s: %v", name, test.got)
		}
	}
}
