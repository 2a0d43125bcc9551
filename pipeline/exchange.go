package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// requestBody spells rows as release.request says a request looks. signature
// is what the model said of itself, if it did.
func requestBody(format string, signature []byte, columns []ridgeline.Column, rows [][]any) ([]byte, error) {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	switch format {
	case project.RequestSplit:
		return json.Marshal(map[string]any{format: map[string]any{"columns": names, "data": rows}})
	case project.RequestRecords:
		records := make([]map[string]any, len(rows))
		for i, row := range rows {
			records[i] = map[string]any{}
			for j, v := range row {
				records[i][names[j]] = v
			}
		}
		return json.Marshal(map[string]any{format: records})
	case project.RequestV2:
		var s *tensor.Signature
		if json.Unmarshal(signature, &s) == nil && s != nil && s.Form == tensor.Array {
			return json.Marshal(map[string]any{"inputs": []v2tensor{whole(tensors(columns, rows), len(rows))}})
		}
		return json.Marshal(map[string]any{"inputs": tensors(columns, rows)})
	default: // data, inputs
		return json.Marshal(map[string]any{format: rows})
	}
}

// A v2tensor is one of the Open Inference Protocol's, for a column.
type v2tensor struct {
	Name     string `json:"name"`
	Shape    []int  `json:"shape"`
	Datatype string `json:"datatype"`
	Data     []any  `json:"data"`
}

func tensors(columns []ridgeline.Column, rows [][]any) []v2tensor {
	list := make([]v2tensor, len(columns))
	for j, c := range columns {
		list[j] = v2tensor{Name: c.Name, Shape: []int{len(rows)}, Datatype: datatype(c.Type), Data: make([]any, len(rows))}
		for i, row := range rows {
			list[j].Data[i] = row[j]
			if row[j] == nil && list[j].Datatype == "INT64" { // an integer cannot be missing, a number can
				list[j].Datatype = "FP64"
			}
		}
	}
	return list
}

// whole is the columns as one tensor of rows, for a model that takes one
// nameless array: of numbers if all of them are.
func whole(columns []v2tensor, rows int) v2tensor {
	one := v2tensor{Name: "rows", Shape: []int{rows, len(columns)}, Datatype: "FP64"}
	for _, c := range columns {
		if c.Datatype == "BYTES" {
			one.Datatype = "BYTES"
		}
	}
	for i := range rows {
		for _, c := range columns {
			one.Data = append(one.Data, c.Data[i])
		}
	}
	return one
}

// datatype is the protocol's name of a DuckDB type. What has none there goes
// as text.
func datatype(column string) string {
	switch {
	case column == "BOOLEAN":
		return "BOOL"
	case slices.Contains([]string{"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}, column):
		return "INT64"
	case column == "FLOAT", column == "DOUBLE", column == "UBIGINT", column == "HUGEINT", strings.HasPrefix(column, "DECIMAL"):
		return "FP64"
	}
	return "BYTES"
}

// answers finds the predictions in an answer: a list, or an object whose
// result, predictions or outputs has one.
func answers(body []byte) (list []any, reason string) {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, "gave an answer that is not JSON: " + clip(string(body), 300)
	}
	if s, ok := v.(string); ok { // json.dumps by the script itself
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			return nil, "gave a string: " + clip(s, 300)
		}
	}
	if object, ok := v.(map[string]any); ok {
		for _, key := range []string{"result", "predictions", "outputs"} {
			if inner, ok := one(object[key]).([]any); ok {
				return each(inner), ""
			}
		}
		return nil, "gave no list under result, predictions or outputs: " + clip(string(body), 300)
	}
	if list, ok := v.([]any); ok {
		return each(list), ""
	}
	return nil, "gave no list of predictions: " + clip(string(body), 300)
}

// predicted are the names that an output goes by which is the prediction,
// where there are others beside it: those of skl2onnx and of common scripts.
var predicted = []string{"prediction", "predict", "label", "output_label", "variable"}

// one is the prediction among outputs that have names: the only one, or the
// one whose name says so; of the Open Inference Protocol's tensors the first.
func one(v any) any {
	switch v := v.(type) {
	case []any:
		if len(v) == 0 {
			return v
		}
		first, ok := v[0].(map[string]any)
		if !ok || first["datatype"] == nil {
			return v
		}
		return rowsOf(first)
	case map[string]any:
		if len(v) == 1 {
			for _, only := range v {
				return only
			}
		}
		for _, name := range predicted {
			if v[name] != nil {
				return v[name]
			}
		}
	}
	return v
}

// each takes the prediction out of rows that are objects, as a table's are.
func each(rows []any) []any {
	for i, row := range rows {
		if object, ok := row.(map[string]any); ok {
			rows[i] = one(object)
		}
	}
	return rows
}

// rowsOf are a tensor's elements, a list for each row where it has more than
// one dimension.
func rowsOf(tensor map[string]any) any {
	data, _ := tensor["data"].([]any)
	shape, _ := tensor["shape"].([]any)
	if len(shape) < 2 || len(data) == 0 {
		return tensor["data"]
	}
	n, _ := shape[0].(float64)
	if n < 1 || len(data)%int(n) != 0 {
		return fmt.Sprintf("%d elements in the shape %v", len(data), shape)
	}
	if len(data) == int(n) {
		return data
	}
	var rows []any
	for row := range slices.Chunk(data, len(data)/int(n)) {
		rows = append(rows, row)
	}
	return rows
}
