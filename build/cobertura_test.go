package build

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

// report as coverage.py 7 writes it with branches, for a package measured by
// its folder.
const coveragePy = `<?xml version="1.0" ?>
<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">
<coverage version="7.10" lines-valid="4" lines-covered="2" line-rate="0.5" branches-covered="1" branches-valid="2" branch-rate="0.5">
<sources><source>ROOT/iris</source></sources><packages><package name="." line-rate="0.5"><classes>
<class name="train.py" filename="train.py" line-rate="0.5"><methods/><lines>
<line number="1" hits="1"/><line number="3" hits="1" branch="true" condition-coverage="50% (1/2)" missing-branches="4"/><line number="4" hits="0"/><line number="9" hits="0"/>
</lines></class></classes></package></packages></coverage>`

func TestReadCobertura(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "iris"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "iris", "train.py"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readCobertura(strings.NewReader(strings.ReplaceAll(coveragePy, "ROOT", root)), root)
	if err != nil {
		t.Fatal(err)
	}
	files, sum := got.files()
	of := ridgeline.Coverage{Lines: 4, Covered: 2, Branches: 2, BranchesCovered: 1}
	if want := []CoveredFile{{"iris/train.py", of, "4-9"}}; !reflect.DeepEqual(files, want) || sum != of {
		t.Errorf("got %+v, %+v; want %+v", files, sum, want)
	}
	// Another task ran what this one did not.
	other := coverage{"iris/train.py": {Lines: map[int]bool{3: false, 4: true}, Branches: map[int][2]int{3: {2, 2}}}, "iris/score.py": {Lines: map[int]bool{1: false}}}
	got.join(other)
	files, sum = got.files()
	if sum != (ridgeline.Coverage{Lines: 5, Covered: 3, Branches: 2, BranchesCovered: 2}) || len(files) != 2 || files[1].Missing != "9" || files[0].Missing != "1" {
		t.Errorf("joined: %+v, %+v", files, sum)
	}
	for name, test := range map[string]struct{ text, want string }{
		"another kind of report": {`<testsuites/>`, "begins with <testsuites>"},
		"cut off":                {`<coverage line-rate="1"><packages>`, "cut off"},
		"empty":                  {"", "empty"},
		"entities":               {`<!DOCTYPE x [<!ENTITY e "1">]><coverage><sources><source>&e;</source></sources></coverage>`, "entity"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readCobertura(strings.NewReader(test.text), root); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	// What is not a number is left out, and what is outside keeps its name.
	odd, err := readCobertura(strings.NewReader(`<coverage><packages><package><classes><class filename="../x.py"><lines><line number="one" hits="1"/>
		<line number="2" hits="many"/><line number="3" hits="1e3" condition-coverage="x (5/2)"/></lines></class></classes></package></packages></coverage>`), root)
	if _, sum := odd.files(); err != nil || sum != (ridgeline.Coverage{Lines: 2, Covered: 1}) || odd["../x.py"] == nil {
		t.Errorf("%+v, %v", odd, err)
	}
}

func TestFloor(t *testing.T) {
	covered := func(n int) *ridgeline.Coverage { return &ridgeline.Coverage{Lines: 1000, Covered: n} }
	for _, test := range []struct {
		c      *ridgeline.Coverage
		none   []string
		status ridgeline.Status
		says   string
	}{
		{covered(800), nil, ridgeline.Succeeded, "80.0 % of lines (at least 80 %)"},
		{covered(799), nil, ridgeline.Failed, "79.9 % of lines are covered, build.coverage asks for 80 %"},
		{covered(1000), nil, ridgeline.Succeeded, "100.0 %"},
		{&ridgeline.Coverage{}, nil, ridgeline.Failed, "nothing was measured"},
		{nil, []string{"coverage.xml of unit: no report coverage.xml"}, ridgeline.Failed, "no coverage report: coverage.xml of unit"},
		{nil, nil, ridgeline.Cancelled, "the tests did not run"},
		{&ridgeline.Coverage{Lines: 1, Covered: 1, Branches: 4, BranchesCovered: 3}, nil, ridgeline.Succeeded, "75.0 % of branches"},
	} {
		t.Run(fmt.Sprint(test.c), func(t *testing.T) {
			if got := floor(80, test.c, test.none); got.Status != test.status || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %+v, want %q", got, test.says)
			}
		})
	}
}
