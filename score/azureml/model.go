package azureml

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// predict has a model without a script answer. It takes what scoring scripts
// of Azure ML take, {"data": rows}, and answers {"result": predictions} as they
// do; and what Azure ML's own script for MLflow models takes, {"input_data":
// rows}, whose answer is the predictions alone.
func (h *handler) predict(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, model worker.Model, body []byte) {
	answered, err := h.predicted(r, x, model, body)
	if err != nil {
		fail(w, x, err)
		return
	}
	answer(w, x, worker.Response{Status: http.StatusOK, Body: answered, Returned: true, Milliseconds: float64(x.Model.Nanoseconds()) / 1e6})
}

func (h *handler) predicted(r *http.Request, x *exchange.Exchange, model worker.Model, body []byte) ([]byte, error) {
	if r.Method == http.MethodGet {
		body = queried(r.URL.Query())
	}
	var err error
	if x.Input, err = h.readers.For(model.Signature).JSON(body, tensor.Data, tensor.InputData); err != nil {
		return nil, err
	}
	if x.Output, err = h.model.Predict(r.Context(), x.Input); err != nil {
		return nil, err
	}
	answered := make([]byte, 0, 32+24*x.Output.Rows)
	wrapped := !holds(body, tensor.InputData)
	if wrapped {
		answered = append(answered, `{"result": `...)
	}
	if answered, err = tensor.AppendJSON(answered, x.Output); err != nil {
		return nil, &exchange.Failure{Reason: exchange.Unusable, Message: err.Error()}
	}
	if wrapped {
		answered = append(answered, '}')
	}
	return answered, nil
}

// queried is a query as the object that a body would have had: each value JSON
// if it can be, else text, and those of one name a list.
func queried(query url.Values) []byte {
	fields := map[string]json.RawMessage{}
	for name, texts := range query {
		var values []json.RawMessage
		for _, text := range texts {
			value := json.RawMessage(text)
			if !json.Valid(value) {
				value = encode(text)
			}
			values = append(values, value)
		}
		fields[name] = values[0]
		if len(values) > 1 {
			fields[name], _ = json.Marshal(values) // each is valid
		}
	}
	body, _ := json.Marshal(fields)
	return body
}

// holds reports whether a JSON object has a member of that name.
func holds(object []byte, name string) bool {
	if !bytes.Contains(object, []byte(name)) && !bytes.ContainsRune(object, '\\') {
		return false // as nearly always when it has none
	}
	d := json.NewDecoder(bytes.NewReader(object))
	_, err := d.Token()
	for err == nil && d.More() {
		var key json.Token
		if key, err = d.Token(); err == nil && key == name {
			return true
		}
		var value json.RawMessage
		if err == nil {
			err = d.Decode(&value)
		}
	}
	return false
}

// schemas describes a signature's inputs and outputs as OpenAPI does.
func schemas(s tensor.Signature) (input, output json.RawMessage) {
	row := rowOf(s.Inputs)
	input = object("data", array(row))
	output = object("result", anyArray)
	if len(s.Outputs) == 1 {
		output = object("result", array(elementOf(s.Outputs[0])))
	} else if len(s.Outputs) > 1 {
		output = object("result", array(rowOf(s.Outputs)))
	}
	return input, output
}

var anyArray = json.RawMessage(`{"type":"array","items":{}}`)

func array(items json.RawMessage) json.RawMessage {
	return slices.Concat(json.RawMessage(`{"type":"array","items":`), items, json.RawMessage(`}`))
}

func object(name string, value json.RawMessage) json.RawMessage {
	return slices.Concat(json.RawMessage(`{"type":"object","required":[`), encode(name), json.RawMessage(`],"properties":{`), encode(name), json.RawMessage(`:`), value, json.RawMessage(`}}`))
}

// rowOf is an object of a row's fields, or what a nameless row is.
func rowOf(fields []tensor.Field) json.RawMessage {
	if len(fields) == 0 || fields[0].Name == "" {
		if len(fields) == 1 {
			return elementOf(fields[0])
		}
		return anyArray
	}
	var required, properties []byte
	for _, f := range fields {
		if !f.Optional {
			required = append(append(required, encode(f.Name)...), ',')
		}
		properties = append(append(append(append(properties, encode(f.Name)...), ':'), elementOf(f)...), ',')
	}
	return slices.Concat(json.RawMessage(`{"type":"object","required":[`), bytes.TrimSuffix(required, []byte(",")),
		json.RawMessage(`],"properties":{`), bytes.TrimSuffix(properties, []byte(",")), json.RawMessage(`}}`))
}

// elementOf is one row's value of a field.
func elementOf(f tensor.Field) json.RawMessage {
	element := json.RawMessage(`{}`)
	switch f.Type {
	case tensor.Bool:
		element = json.RawMessage(`{"type":"boolean"}`)
	case tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64, tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64:
		element = json.RawMessage(`{"type":"integer","format":"int64"}`)
	case tensor.Float16, tensor.Float32, tensor.Float64:
		element = json.RawMessage(`{"type":"number","format":"double"}`)
	case tensor.Datetime:
		element = json.RawMessage(`{"type":"string","format":"date-time"}`)
	case tensor.Binary:
		element = json.RawMessage(`{"type":"string","format":"byte"}`)
	case tensor.Text:
		element = json.RawMessage(`{"type":"string"}`)
	}
	for range f.Shape {
		element = array(element)
	}
	return element
}
