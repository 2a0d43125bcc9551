package project

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

var schema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("ridgeline.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("ridgeline.json")
})

// fits asks the schema about a file, as an editor does.
func fits(t testing.TB, text string) error {
	t.Helper()
	s, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Unmarshal([]byte(strings.TrimPrefix(text, "\ufeff")), &value); err != nil {
		t.Fatal(err)
	}
	return s.Validate(value)
}

// An editor that underlines what Ridgeline accepts would be switched off. The
// fuzz test asks the same of whatever it finds.
func TestSchema_accepts_what_Parse_accepts(t *testing.T) {
	template, err := fs.ReadFile(Template(), FileName)
	if err != nil {
		t.Fatal(err)
	}
	for _, sample := range []string{full, least, deep, tasks, string(template)} {
		if _, err := Parse(FileName, []byte(sample)); err != nil {
			t.Fatal(err)
		}
		if err := fits(t, sample); err != nil {
			t.Errorf("%v\n%s", err, clip(sample, 300))
		}
	}
}

func TestSchema_refuses_common_mistakes(t *testing.T) {
	for old, mistake := range map[string]string{
		"pipeline:": "pipelines:", "overlap: coalesce": "overlap: newest", "grid:": "gird:", "cache: false": "cache: maybe", "missed: all": "missed: every",
		"metric: mse, parallel": "parallel", "type: int": "type: integer", "needs: [prepare]": "needs: {prepare: 1}", "project: deep": "project: Deep",
	} {
		if !strings.Contains(deep, old) {
			t.Fatalf("%q is not in the sample", old)
		}
		if err := fits(t, strings.Replace(deep, old, mistake, 1)); err == nil {
			t.Errorf("%q for %q passed", mistake, old)
		}
	}
}

// Every key that the parser knows is in the schema: the keys are read from the
// calls of section in the parser's own source.
func TestSchema_has_the_parsers_keys(t *testing.T) {
	all, met := string(Schema()), 0
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasPrefix(file, "smoke") || file == "settings.go" || file == "pools.go" || file == "budget.go" || file == "clustergateway.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "section" {
				return true
			}
			for _, arg := range call.Args[2:] {
				key, ok := arg.(*ast.BasicLit)
				if !ok {
					continue
				}
				met++
				if key.Value != `"drift"` && !strings.Contains(all, key.Value+": {") {
					t.Errorf("%s: the schema does not know %s", file, key.Value)
				}
			}
			return true
		})
	}
	if met < 80 {
		t.Errorf("only %d keys were met", met)
	}
}
