package journal

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// A redaction takes values away before they are written: of tensors by the
// name of the input, output or column; in JSON by a path of names joined by
// dots, through which lists do not count. A name alone is taken away at any
// depth of JSON, also where a table says it once ("columns" beside "data").
type redaction struct {
	names map[string]bool
	paths [][]string
}

func newRedaction(list []string) *redaction {
	if len(list) == 0 {
		return nil
	}
	r := &redaction{names: map[string]bool{}}
	for _, name := range list {
		r.names[name] = true // also a dotted one: a column may be called so
		if parts := strings.Split(name, "."); len(parts) > 1 {
			r.paths = append(r.paths, parts)
		}
	}
	return r
}

// batch returns b without the redacted tensors. A matrix that has a redacted
// column becomes single columns, without it.
func (r *redaction) batch(b tensor.Batch) tensor.Batch {
	if b.Params != nil {
		b.Params = r.body(b.Params)
	}
	if len(b.Columns) > 0 && len(b.Tensors) == 1 {
		if !slices.ContainsFunc(b.Columns, func(c string) bool { return r.names[c] }) {
			return b
		}
		return r.columns(b)
	}
	if !slices.ContainsFunc(b.Tensors, func(t tensor.Tensor) bool { return r.names[t.Name] }) {
		return b
	}
	b.Tensors = slices.DeleteFunc(slices.Clone(b.Tensors), func(t tensor.Tensor) bool { return r.names[t.Name] })
	return b
}

func (r *redaction) columns(b tensor.Batch) tensor.Batch {
	t := b.Tensors[0]
	width, all := t.Type.Size(), len(b.Columns)
	if width == 0 || len(t.Data) != b.Rows*all*width {
		return tensor.Batch{Form: b.Form, Rows: b.Rows} // not to be taken apart: nothing is kept
	}
	out := tensor.Batch{Form: b.Form, Rows: b.Rows, Params: b.Params}
	var kept []int
	for i, c := range b.Columns {
		if !r.names[c] {
			kept = append(kept, i)
			out.Columns = append(out.Columns, c)
		}
	}
	data := make([]byte, 0, b.Rows*len(kept)*width)
	for row := range b.Rows {
		for _, i := range kept {
			at := (row*all + i) * width
			data = append(data, t.Data[at:at+width]...)
		}
	}
	out.Tensors = []tensor.Tensor{{Name: t.Name, Type: t.Type, Shape: []int{b.Rows, len(kept)}, Data: data}}
	return out
}

var unreadable = []byte(`"[redacted: the body is no JSON]"`)

// body returns a JSON body with null in place of what is redacted. Nothing is
// kept of one that is no JSON.
func (r *redaction) body(body []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() {
		return unreadable
	}
	v = r.clean(v, nil)
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return unreadable
	}
	return bytes.TrimRight(out.Bytes(), "\n")
}

func (r *redaction) clean(v any, path []string) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = r.clean(v[i], path)
		}
	case map[string]any:
		r.table(v)
		// The Open Inference Protocol names a tensor beside its data.
		if name, ok := v["name"].(string); ok && r.names[name] && v["data"] != nil {
			v["data"] = nil
		}
		for name := range v {
			here := append(path[:len(path):len(path)], name)
			if r.names[name] || slices.ContainsFunc(r.paths, func(p []string) bool { return slices.Equal(p, here) }) {
				v[name] = nil
			} else {
				v[name] = r.clean(v[name], here)
			}
		}
	}
	return v
}

// table takes the redacted columns out of {"columns": […], "data": [[…], …]}.
func (r *redaction) table(v map[string]any) {
	columns, ok := v["columns"].([]any)
	rows, also := v["data"].([]any)
	if !ok || !also {
		return
	}
	for i, c := range columns {
		if name, ok := c.(string); !ok || !r.names[name] {
			continue
		}
		for _, row := range rows {
			if cells, ok := row.([]any); ok && i < len(cells) {
				cells[i] = nil
			}
		}
	}
}
