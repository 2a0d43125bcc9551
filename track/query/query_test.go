package query

import (
	"reflect"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestParse(t *testing.T) {
	for filter, want := range map[string][]Term{
		"":                        nil,
		"  ":                      nil,
		"metrics.acc > 0.9":       {{Kind: Metric, Key: "acc", Op: Greater, Number: 0.9, At: 1}},
		"metric.`f1 score`<=-1e3": {{Kind: Metric, Key: "f1 score", Op: AtMost, Number: -1000, At: 1}},
		`metrics."val/acc" != .5`: {{Kind: Metric, Key: "val/acc", Op: Unequal, Number: 0.5, At: 1}},
		"params.model = 'it''s'":  {{Kind: Param, Key: "model", Op: Equal, Text: "it's", At: 1}},
		`tags.a.b ilike "%ä%" And status = 'RUNNING'`: {
			{Kind: Tag, Key: "a.b", Op: ILike, Text: "%ä%", At: 1}, {Kind: Attribute, Key: "status", Op: Equal, Text: "RUNNING", At: 26},
		},
		"attributes.run_id not in ('a', 'b',)":    {{Kind: Attribute, Key: "run_id", Op: NotIn, List: []string{"a", "b"}, At: 1}},
		"tags.x is not null AND params.y IS NULL": {{Kind: Tag, Key: "x", Op: IsNotNull, At: 1}, {Kind: Param, Key: "y", Op: IsNull, At: 24}},
		"created < 12":                   {{Kind: Attribute, Key: "start_time", Op: Less, Number: 12, At: 1}},
		"attribute.`Run name` LIKE 'a%'": {{Kind: Attribute, Key: "run_name", Op: Like, Text: "a%", At: 1}},
		"datasets.context IN ('train')":  {{Kind: Dataset, Key: "context", Op: In, List: []string{"train"}, At: 1}},
	} {
		got, err := Runs.Parse(filter)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v %v\nwant %+v", filter, got, err, want)
		}
	}
}

func TestParse_says_where_and_what(t *testing.T) {
	for filter, want := range map[string]string{
		"metrics.acc >":                  "position 14",
		"metrics.acc > 'x'":              "position 15",
		"metrics.acc LIKE 'x'":           "Invalid comparator 'LIKE'",
		"params.x = 1":                   "expected a quoted string value",
		"params.x > 'a'":                 "Invalid comparator '>'",
		"params.x = 'a' OR params.y='b'": "expected AND between comparisons, or the end, found 'OR'",
		"metrics.acc > 1 metrics.b > 2":  "position 17",
		"foo.bar = 'x'":                  "Invalid entity type 'foo'",
		"metrcs.bar = 1":                 "did you mean 'metrics'?",
		"colour = 'x'":                   "Invalid attribute key 'colour'",
		"dataset.size = 'x'":             "Invalid dataset key 'size'",
		"params.x = 'open":               "found ''open'",
		"status IN ('a')":                "Invalid comparator 'IN'",
		"run_id IN ()":                   "expected a quoted string in the list, found ')'",
		"run_id IN 'a'":                  "expected a list",
		"run_id IN ('a' 'b')":            "expected ',' or ')'",
		"metrics.a IS NULL":              "Invalid comparator 'IS NULL'",
		"AND":                            "Invalid attribute key 'AND'",
		"params. = 'x'":                  "expected a field",
		"= 'x'":                          "expected a field",
		"metrics.a <> 1":                 "expected an operator",
		"metrics.a > 1 AND":              "found the end",
		"metrics.a > 1e":                 "expected a number",
	} {
		_, err := Runs.Parse(filter)
		if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", filter, err, want)
		}
	}
}

func TestParseOrder(t *testing.T) {
	for order, want := range map[string]Order{
		"metrics.acc DESC":       {Kind: Metric, Key: "acc", Descending: true},
		"params.`a b`":           {Kind: Param, Key: "a b"},
		"start_time asc":         {Kind: Attribute, Key: "start_time"},
		"attributes.Created":     {Kind: Attribute, Key: "start_time"},
		`tag."mlflow.user" desc`: {Kind: Tag, Key: "mlflow.user", Descending: true},
	} {
		if got, err := Runs.ParseOrder(order); err != nil || got != want {
			t.Errorf("%s: %+v %v", order, got, err)
		}
	}
	for _, order := range []string{"", "metrics.acc UP", "metrics.acc DESC x", "dataset.name", "x.y"} {
		if _, err := Runs.ParseOrder(order); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%q: %v", order, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("metrics.acc > 0.9 AND params.`x` LIKE '%a' and run_id IN ('a','b') and tags.t IS NOT NULL")
	f.Fuzz(func(t *testing.T, filter string) {
		terms, err := Runs.Parse(filter)
		if err != nil && ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Fatal(err)
		}
		for _, term := range terms {
			if term.Kind == "" || term.Op == "" {
				t.Fatalf("%q: %+v", filter, term)
			}
		}
	})
}
