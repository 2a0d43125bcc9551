package ridgeline

// A Report is what the tests of a build said, and how that compares. The lists
// are cut at ReportNames; the counts are not. The zero value is a build without
// any such results.
type Report struct {
	Tests        int       `json:"tests"` // that ran or were skipped
	Failed       int       `json:"failed"`
	Skipped      int       `json:"skipped"`
	Coverage     *Coverage `json:"coverage,omitempty"`      // nil: nobody measured it
	Before       BuildID   `json:"before,omitempty"`        // the last build of the branch that had results: what the next five compare with
	TestsBefore  int       `json:"tests_before"`            // Tests of it
	LinesBefore  float64   `json:"lines_before"`            // percent; 0 when it had no coverage
	NewlyFailing []string  `json:"newly_failing,omitempty"` // tests that passed there
	NewlyPassing []string  `json:"newly_passing,omitempty"` // tests that failed there
	Flaky        []string  `json:"flaky,omitempty"`         // tests with both results for the same files and environment, in any builds
	Slowest      []Slow    `json:"slowest,omitempty"`       // slowest first
	Results      string    `json:"results,omitempty"`       // blob: everything, see package build
}

// ReportNames is how many names a list of a Report has at most.
const ReportNames = 20

// A Slow test.
type Slow struct {
	Test    string  `json:"test"`
	Seconds float64 `json:"seconds"`
}

// Coverage is how much of the code ran under test.
type Coverage struct {
	Lines           int `json:"lines"` // that could
	Covered         int `json:"covered"`
	Branches        int `json:"branches"` // 0: not measured
	BranchesCovered int `json:"branches_covered"`
}

// Percent is the share of lines that ran; of nothing at all, all.
func (c Coverage) Percent() float64 { return share(c.Covered, c.Lines) }

// BranchPercent is the share of branches taken; of none, all.
func (c Coverage) BranchPercent() float64 { return share(c.BranchesCovered, c.Branches) }

func share(part, whole int) float64 {
	if whole == 0 {
		return 100
	}
	return 100 * float64(part) / float64(whole)
}
