package tensor

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// three is a scikit-learn model's signature, five has every kind of column,
// pixels is one array, ab two by name.
var (
	three = &Signature{Form: Table, Inputs: []Field{{Name: "a", Type: Float64}, {Name: "b", Type: Float64}, {Name: "c", Type: Float64}}}
	mixed = &Signature{Form: Table, Inputs: []Field{{Name: "n", Type: Int32}, {Name: "x", Type: Float32}, {Name: "ok", Type: Bool}, {Name: "s", Type: Text},
		{Name: "bin", Type: Binary, Optional: true}, {Name: "at", Type: Datetime, Optional: true}, {Name: "any", Type: JSON, Optional: true}}}
	unnamed = &Signature{Form: Table, Inputs: []Field{{Type: Float64}, {Type: Float64}}}
	single  = &Signature{Form: Table, Inputs: []Field{{Name: "text", Type: Text}}}
	pixels  = &Signature{Form: Array, Inputs: []Field{{Type: Float64, Shape: []int{2, 2}}}}
	flat3   = &Signature{Form: Array, Inputs: []Field{{Type: Float32, Shape: []int{3}}}}
	ab      = &Signature{Form: Named, Inputs: []Field{{Name: "a", Type: Int64}, {Name: "b", Type: Float32, Shape: []int{2}}}}
)

var mlflow = []string{Split, Records, Instances, Inputs}
var azure = []string{Data, InputData}

// show is a batch in few words: the form, and each tensor as name:type shape
// elements.
func show(b Batch) string {
	out := b.Form.String()
	if b.Columns != nil {
		out += " " + strings.Join(b.Columns, ",")
	}
	for i := range b.Tensors {
		t := &b.Tensors[i]
		shape, _ := json.Marshal(t.Shape)
		data, err := t.AppendFlat(nil)
		if err != nil {
			data = []byte(err.Error())
		}
		out += " " + t.Name + ":" + t.Type.String() + string(shape) + string(data)
	}
	return out + string(b.Params)
}

func TestReader_JSON(t *testing.T) {
	for _, c := range []struct {
		name   string
		s      *Signature
		fields []string
		body   string
		want   string // show's, or what the error begins with
	}{
		{"split", three, mlflow, `{"dataframe_split":{"columns":["a","b","c"],"index":[0,1],"data":[[1,2.5,-3e2],[4,5,6]]}}`,
			`table a,b,c :FP64[2,3][1.0,2.5,-300.0,4.0,5.0,6.0]`},
		{"split in another order with one more", three, mlflow, `{"dataframe_split":{"columns":["c","x","a","b"],"data":[[3,"?",1,2]]}}`, `table a,b,c :FP64[1,3][1.0,2.0,3.0]`},
		{"split, data first", three, mlflow, ` { "dataframe_split" : { "data" : [ [ 3 , 1 , 2 ] ] , "columns" : [ "c" , "a" , "b" ] } } `, `table a,b,c :FP64[1,3][1.0,2.0,3.0]`},
		{"split without columns", three, mlflow, `{"dataframe_split":{"data":[[1,2,3]]}}`, `Model is missing inputs ['a', 'b', 'c']. Note that there were extra inputs: ['0', '1', '2'].`},
		{"split with a column missing", three, mlflow, `{"dataframe_split":{"columns":["a","B","c"],"data":[[1,2,3]]}}`, `Model is missing inputs ['b']. Note that there were extra inputs: ['B'].`},
		{"split with a column twice", three, mlflow, `{"dataframe_split":{"columns":["a","a","b","c"],"data":[[1,2,3,4]]}}`, `The column 'a' is there twice.`},
		{"split with an unknown field", three, mlflow, `{"dataframe_split":{"columns":["a"],"rows":[]}}`, `Dataframe split format must have 'data' field`},
		{"split without data", three, mlflow, `{"dataframe_split":{"columns":["a","b","c"]}}`, `Dataframe split format must have 'data' field`},
		{"split as a list", three, mlflow, `{"dataframe_split":[1]}`, `Dataframe split format must be an object`},
		{"split without rows", three, mlflow, `{"dataframe_split":{"columns":["a","b","c"],"data":[]}}`, `There are no rows.`},
		{"a short row", three, mlflow, `{"dataframe_split":{"columns":["a","b","c"],"data":[[1,2,3],[1,2]]}}`, `Row 1: expected 3 values, found 2.`},
		{"an empty row", three, mlflow, `{"dataframe_split":{"columns":["a","b","c"],"data":[[]]}}`, `Row 0: expected 3 values, found 0.`},
		{"a long row", three, mlflow, `{"dataframe_split":{"columns":["a","b","c"],"data":[[1,2,3,4]]}}`, `Row 0: expected 3 values, found more.`},
		{"a row that is none", three, mlflow, `{"dataframe_split":{"columns":["a","b","c"],"data":[7]}}`, `Row 0: expected a list of 3 values, found the number 7.`},
		{"a text for a number", three, mlflow, `{"dataframe_split":{"columns":["a","b","c"],"data":[[1,2,3],[1,"2",3]]}}`, `Input 'b', row 1: expected a number (FP64), found the text "2".`},
		{"a truth value for a number", three, mlflow, `{"dataframe_split":{"columns":["a","b","c"],"data":[[1,true,3]]}}`, `Input 'b', row 0: expected a number (FP64), found a truth value.`},
		{"a list for a number", three, mlflow, `{"dataframe_split":{"columns":["a","b","c"],"data":[[[1],2,3]]}}`, `Input 'a', row 0: expected a number (FP64), found a list.`},
		{"no number", three, mlflow, `{"dataframe_split":{"columns":["a","b","c"],"data":[[null,NaN,1]]}}`, `table a,b,c :FP64[1,3][null,null,1.0]`},
		{"infinite", three, mlflow, `{"dataframe_split":{"columns":["a","b","c"],"data":[[-Infinity,Infinity,1]]}}`, `table a,b,c :FP64[1,3]the model answered with an infinite number`},
		{"too large a number", three, mlflow, `{"dataframe_split":{"columns":["a","b","c"],"data":[[1e999,1,1]]}}`, `Input 'a', row 0: the number 1e999 is beyond what FP64 holds.`},

		{"records", three, mlflow, `{"dataframe_records":[{"a":1,"b":2,"c":3},{"c":6,"x":{"y":[]},"b":5,"a":4}]}`, `table a,b,c :FP64[2,3][1.0,2.0,3.0,4.0,5.0,6.0]`},
		{"records with a hole", three, mlflow, `{"dataframe_records":[{"a":1,"b":2},{"a":4,"c":6,"b":5},{"a":1,"b":1}]}`, `table a,b,c :FP64[3,3][1.0,2.0,null,4.0,5.0,6.0,1.0,1.0,null]`},
		{"records without a column", three, mlflow, `{"dataframe_records":[{"a":1,"b":2,"z":0}]}`, `Model is missing inputs ['c']. Note that there were extra inputs: ['z'].`},
		{"a record with a name twice", three, mlflow, `{"dataframe_records":[{"a":1,"b":2,"c":3,"a":4}]}`, `Row 0: 'a' is there twice.`},
		{"records as an object", three, mlflow, `{"dataframe_records":{"a":1}}`, `Dataframe records format must be a list of records, found an object.`},
		{"records of lists", three, mlflow, `{"dataframe_records":[[1]]}`, `Row 0: expected an object of columns and values, found a list.`},
		{"types", mixed, mlflow, `{"dataframe_records":[{"n":-1,"x":0.1,"ok":true,"s":"é\u00e9\n","bin":"aGk=","at":"2024-02-29T12:00:00Z","any":{"k":[1,null]}},{"n":1.0,"x":2,"ok":false,"s":null}]}`,
			`table n:INT32[2][-1,1] x:FP32[2][0.10000000149011612,2.0] ok:BOOL[2][true,false] s:TEXT[2]["éé\n",null] bin:BINARY[2]["aGk=",null] at:DATETIME[2]["2024-02-29T12:00:00",null] any:JSON[2][{"k":[1,null]},null]`},
		{"null for a whole number", mixed, mlflow, `{"dataframe_records":[{"n":null,"x":1,"ok":true,"s":""}]}`, `Input 'n', row 0: expected a whole number (INT32), found null.`},
		{"a fraction for a whole number", mixed, mlflow, `{"dataframe_records":[{"n":1.5,"x":1,"ok":true,"s":""}]}`, `Input 'n', row 0: expected a whole number (INT32), found the number 1.5.`},
		{"too large a whole number", mixed, mlflow, `{"dataframe_records":[{"n":2147483648,"x":1,"ok":true,"s":""}]}`, `Input 'n', row 0: the number 2147483648 is beyond what INT32 holds.`},
		{"the least whole number", mixed, mlflow, `{"dataframe_records":[{"n":-2147483648,"x":1,"ok":true,"s":""}]}`, `table n:INT32[1][-2147483648] x:FP32[1][1.0] ok:BOOL[1][true] s:TEXT[1][""]`},
		{"a number for a truth value", mixed, mlflow, `{"dataframe_records":[{"n":1,"x":1,"ok":1,"s":""}]}`, `Input 'ok', row 0: expected true or false, found the number 1.`},
		{"a number for a text", mixed, mlflow, `{"dataframe_records":[{"n":1,"x":1,"ok":true,"s":5}]}`, `Input 's', row 0: expected a text, found the number 5.`},
		{"no base64", mixed, mlflow, `{"dataframe_records":[{"n":1,"x":1,"ok":true,"s":"","bin":"a"}]}`, `Input 'bin', row 0: expected a text in base64, found the text "a".`},
		{"no time", mixed, mlflow, `{"dataframe_records":[{"n":1,"x":1,"ok":true,"s":"","at":"soon"}]}`, `Input 'at', row 0: expected a date and time as ISO 8601 has it, found the text "soon".`},
		{"NaN in JSON", mixed, mlflow, `{"dataframe_records":[{"n":1,"x":1,"ok":true,"s":"","any":[NaN]}]}`, `Input 'any', row 0: NaN and Infinity are no JSON values.`},

		{"inputs by column", three, mlflow, `{"inputs":{"c":[3,6],"a":[1,4],"b":[2,5],"z":[[]]}}`, `table a,b,c :FP64[2,3][1.0,2.0,3.0,4.0,5.0,6.0]`},
		{"inputs of one row", three, mlflow, `{"inputs":{"c":3,"a":1,"b":2}}`, `table a,b,c :FP64[1,3][1.0,2.0,3.0]`},
		{"inputs of different length", three, mlflow, `{"inputs":{"c":[3],"a":[1,4],"b":[2,5]}}`, `Input 'c' has 1 rows, and 'a' has 2.`},
		{"inputs as rows", three, mlflow, `{"inputs":[[1,2,3]]}`, `Model is missing inputs ['a', 'b', 'c']`},
		{"instances as records", three, mlflow, `{"instances":[{"a":1,"b":2,"c":3}]}`, `table a,b,c :FP64[1,3][1.0,2.0,3.0]`},
		{"inputs for a single column", single, mlflow, `{"inputs":["x","y"]}`, `table text:TEXT[2]["x","y"]`},
		{"inputs of a single value", single, mlflow, `{"inputs":"x"}`, `table text:TEXT[1]["x"]`},
		{"inputs without names", unnamed, mlflow, `{"inputs":[[1,2],[3,4]]}`, `table 0,1 :FP64[2,2][1.0,2.0,3.0,4.0]`},
		{"split without names", unnamed, mlflow, `{"dataframe_split":{"columns":["p","q","r"],"data":[[1,2,3]]}}`, `table 0,1 :FP64[1,2][1.0,2.0]`},
		{"too few without names", unnamed, mlflow, `{"dataframe_split":{"data":[[1]]}}`, `Model inference is missing inputs. The model signature declares 2 inputs but the provided value only has 1 inputs.`},
		{"data", three, azure, `{"data":[[1,2,3],[4,5,6]],"method":"predict"}`, `table a,b,c :FP64[2,3][1.0,2.0,3.0,4.0,5.0,6.0]`},
		{"data as records", three, azure, `{"data":[{"c":3,"a":1,"b":2}]}`, `table a,b,c :FP64[1,3][1.0,2.0,3.0]`},
		{"input_data as split", three, azure, `{"input_data":{"columns":["b","a","c"],"index":[0],"data":[[2,1,3]]}}`, `table a,b,c :FP64[1,3][1.0,2.0,3.0]`},
		{"input_data as columns", three, azure, `{"input_data":{"a":[1],"b":[2],"c":[3]}}`, `table a,b,c :FP64[1,3][1.0,2.0,3.0]`},
		{"data of a wrong width", three, azure, `{"data":[[1,2]]}`, `Row 0: expected 3 values, found 2.`},

		{"an array", pixels, mlflow, `{"instances":[[[1,2],[3,4]]]}`, `array :FP64[1,2,2][1.0,2.0,3.0,4.0]`},
		{"an array, flat", pixels, mlflow, `{"inputs":[[1,2,3,4],[5,6,7,8]]}`, `array :FP64[2,2,2][1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0]`},
		{"an array of a wrong shape", pixels, mlflow, `{"inputs":[[[1,2],[3]]]}`, `Row 0: expected a list of 2, found one of 1.`},
		{"an array that is none", pixels, mlflow, `{"inputs":{"a":[1]}}`, `The model takes one array of shape (-1, 2, 2): expected a list, found an object.`},
		{"a table for an array", flat3, mlflow, `{"dataframe_split":{"columns":["x","y","z"],"data":[[1,2,3]]}}`, `array :FP32[1,3][1.0,2.0,3.0]`},
		{"one column for an array", flat3, mlflow, `{"dataframe_split":{"columns":["x"],"data":[[[1,2,3]]]}}`, `array :FP32[1,3][1.0,2.0,3.0]`},
		{"too narrow a table for an array", flat3, mlflow, `{"dataframe_split":{"columns":["x","y"],"data":[[1,2]]}}`, `The model takes one array of shape (-1, 3), and there are 2 columns.`},
		{"named arrays", ab, mlflow, `{"inputs":{"b":[[1,2],[3,4]],"a":[1,2]}}`, `named a:INT64[2][1,2] b:FP32[2,2][1.0,2.0,3.0,4.0]`},
		{"named arrays by row", ab, mlflow, `{"instances":[{"a":1,"b":[1,2]},{"a":2,"b":[3,4]}]}`, `named a:INT64[2][1,2] b:FP32[2,2][1.0,2.0,3.0,4.0]`},
		{"named arrays as a table", ab, mlflow, `{"dataframe_split":{"columns":["a","b"],"data":[[1,[1,2]],[2,[3,4]]]}}`, `named a:INT64[2][1,2] b:FP32[2,2][1.0,2.0,3.0,4.0]`},
		{"a nameless array for named ones", ab, mlflow, `{"inputs":[1]}`, `The model takes 2 arrays by name: expected an object with ['a', 'b'], found a list.`},

		{"no signature, split", nil, mlflow, `{"dataframe_split":{"columns":["i","f","t","b","m","o"],"data":[[1,1,"x",true,1,[1]],[2,2.5,null,false,"1",null]]}}`,
			`table i:INT64[2][1,2] f:FP64[2][1.0,2.5] t:TEXT[2]["x",null] b:BOOL[2][true,false] m:JSON[2][1,"1"] o:JSON[2][[1],null]`},
		{"no signature, uniform", nil, mlflow, `{"dataframe_split":{"columns":["i","f"],"data":[[1.5,2],[1,null]]}}`, `table i,f :FP64[2,2][1.5,2.0,1.0,null]`},
		{"no signature, records", nil, mlflow, `{"dataframe_records":[{"a":1},{"b":true,"a":2}]}`, `table a:INT64[2][1,2] b:JSON[2][null,true]`},
		{"no signature, array", nil, mlflow, `{"inputs":[[1,2],[3,4.5]]}`, `array :FP64[2,2][1.0,2.0,3.0,4.5]`},
		{"no signature, ragged", nil, mlflow, `{"inputs":[[1,2],[3]]}`, `Row 1: expected a list of 2, found one of 1.`},
		{"no signature, named", nil, mlflow, `{"inputs":{"a":[1,2],"b":["x","y"]}}`, `named a:INT64[2][1,2] b:TEXT[2]["x","y"]`},
		{"no signature, rows", nil, azure, `{"data":[[1,2],[3,4]]}`, `array :INT64[2,2][1,2,3,4]`},

		{"empty", three, mlflow, ``, `The body is empty`},
		{"a list", three, mlflow, `[1]`, `Expected a JSON object with exactly one of the fields 'dataframe_split', 'dataframe_records', 'instances', 'inputs'. Received a list.`},
		{"no field", three, mlflow, `{"a":1}`, `Expected a JSON object with exactly one of the fields 'dataframe_split', 'dataframe_records', 'instances', 'inputs'. Received an object with the fields ['a'].`},
		{"two fields", three, mlflow, `{"inputs":{"a":[1],"b":[1],"c":[1]},"instances":[]}`, `Expected a JSON object with exactly one`},
		{"two fields, the first unfit", three, mlflow, `{"inputs":{},"instances":[]}`, `Expected a JSON object with exactly one`},
		{"a field twice", three, mlflow, `{"inputs":{"a":[1],"b":[1],"c":[1]},"inputs":{}}`, `Expected a JSON object with exactly one`},
		{"truncated", three, mlflow, `{"dataframe_split":{"columns":["a","b","c"],"data":[[1,2`, `The body is not valid JSON: it ends at byte`},
		{"more after it", three, mlflow, `{"inputs":{"a":[1],"b":[1],"c":[1]}}x`, `The body is not valid JSON: expected the end of the body at byte 36, found 'x'.`},
		{"a comma too many", three, azure, `{"data":[[1,2,]]}`, `The body is not valid JSON: expected a value at byte 14, found ']'.`},
		{"no UTF-8", three, azure, "{\"data\xff\":[]}", `The body is not UTF-8.`},
		{"half a surrogate", single, mlflow, `{"inputs":["\ud800"]}`, `The body is not valid JSON`},
		{"a surrogate pair", single, mlflow, `{"inputs":["\ud83d\ude00"]}`, `table text:TEXT[1]["😀"]`},
		{"too deep", nil, mlflow, `{"inputs":` + strings.Repeat("[", 100_000), `The body has lists and objects in each other deeper than 512.`},
		{"too deep aside", three, mlflow, `{"x":` + strings.Repeat(`{"a":`, 100_000), `The body has lists and objects in each other deeper than 512.`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := NewReader(c.s).JSON([]byte(c.body), c.fields...)
			got := ""
			if err != nil {
				var mismatch *Mismatch
				if !errors.As(err, &mismatch) {
					t.Fatalf("a %T: %v", err, err)
				}
				got = err.Error()
			} else {
				got = show(b)
				if err := b.Check(); err != nil {
					t.Errorf("a broken batch: %v", err)
				}
			}
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// A hundred megabytes of the worst kind end soon, and in an error.
func TestReader_huge(t *testing.T) {
	many := func(piece string, n int) string { return strings.Repeat(piece, n) }
	var names strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&names, `"%d":1,`, i)
	}
	const n = 5_000_000
	for name, read := range map[string]func() (Batch, error){
		"columns": func() (Batch, error) {
			return NewReader(three).JSON([]byte(`{"dataframe_split":{"columns":[`+many(`"",`, n)+`""]}}`), Split)
		},
		"a record": func() (Batch, error) {
			return NewReader(nil).JSON([]byte(`{"dataframe_records":[{`+names.String()+`"":1}]}`), Records)
		},
		"an object": func() (Batch, error) {
			return NewReader(nil).JSON([]byte(`{"inputs":{`+names.String()+`"":1}}`), Inputs)
		},
		"a row": func() (Batch, error) {
			return NewReader(nil).JSON([]byte(`{"dataframe_split":{"data":[[`+many(`1,`, n)+`1]]}}`), Split)
		},
		"a line":  func() (Batch, error) { return NewReader(nil).CSV([]byte("a\n" + many(",", n))) },
		"lists":   func() (Batch, error) { return NewReader(nil).JSON([]byte(`{"inputs":`+many("[", n)), Inputs) },
		"objects": func() (Batch, error) { return NewReader(three).JSON([]byte(`{"x":`+many(`{"":`, n)), Inputs) },
		"digits": func() (Batch, error) {
			return NewReader(three).JSON([]byte(`{"inputs":{"a":[`+many("9", n)+`]}}`), Inputs)
		},
		"a text": func() (Batch, error) {
			return NewReader(three).JSON([]byte(`{"inputs":{"a":["`+many("x", n)+`"]}}`), Inputs)
		},
	} {
		b, err := read()
		if err == nil || len(err.Error()) > 2000 {
			t.Errorf("%s: %d rows, %.200v", name, b.Rows, err)
		}
	}
}

func TestReader_parameters(t *testing.T) {
	s := &Signature{Form: Table, Inputs: single.Inputs, Params: []Param{
		{Name: "t", Type: Float64, Default: json.RawMessage("0.5")}, {Name: "k", Type: Int64, Default: json.RawMessage("1")}, {Name: "stop", Type: Text, Default: json.RawMessage(`["."]`), List: true}}}
	for body, want := range map[string]string{
		``:                           `{"t":0.5,"k":1,"stop":["."]}`,
		`,"params":{}`:               `{"t":0.5,"k":1,"stop":["."]}`,
		`,"params":null`:             `{"t":0.5,"k":1,"stop":["."]}`,
		`,"params":{"k":7,"x":[]}`:   `{"t":0.5,"k":7,"stop":["."]}`,
		`,"params":{"t":1,"k":2}`:    `{"t":1,"k":2,"stop":["."]}`,
		`,"params":{"stop":["a"]}`:   `{"t":0.5,"k":1,"stop":["a"]}`,
		`,"params":{"k":1.5}`:        `Invalid parameters found: 'k' is to be a whole number (INT64), found the number 1.5.`,
		`,"params":{"stop":"a"}`:     `Invalid parameters found: 'stop' is to be a list, found the text "a".`,
		`,"params":{"stop":[1]}`:     `Invalid parameters found: 'stop' is to be a text, found the number 1.`,
		`,"params":[]`:               `Parameters must be an object, found a list.`,
		`,"params":{},"params":{}`:   `The field "params" is there twice.`,
		`,"params":{"t":true}`:       `Invalid parameters found: 't' is to be a number (FP64), found a truth value.`,
		`,"params":{"t":"0.5"}`:      `Invalid parameters found: 't' is to be a number (FP64), found the text "0.5".`,
		`,"params":{"k":null}`:       `{"t":0.5,"k":null,"stop":["."]}`,
		`,"params":{"stop":[]}`:      `{"t":0.5,"k":1,"stop":[]}`,
		`,"params":{"t":1e400}`:      `Invalid parameters found: 't' is to be a number (FP64), found the number 1e400.`,
		`,"params":{"t":NaN}`:        `Invalid parameters found: 't' is to be a number (FP64), found no finite number.`,
		`,"params":{"t": 1 , "k":2}`: `{"t":1,"k":2,"stop":["."]}`,
	} {
		b, err := NewReader(s).JSON([]byte(`{"inputs":["x"]`+body+`}`), Inputs)
		got := string(b.Params)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
}

// Rows of several lengths, and requests to another kind of model, are told as
// that.
func TestReader_says_what_is_wrong(t *testing.T) {
	array := &Signature{Form: Array, Inputs: []Field{{Type: Float64, Shape: []int{3}}}}
	fields := []string{Split, Records, Instances, Inputs}
	for body, c := range map[string]struct {
		s    *Signature
		want string
	}{
		`{"inputs":[[1,2,3],[4,5]]}`:                                   {array, "Row 1: expected a list of 3, found one of 2."},
		`{"inputs":[[1,2,3],[4,5,6,7]]}`:                               {array, "Row 1: expected a list of 3, found more."},
		`{"inputs":[[1,2,3],4]}`:                                       {array, "Row 1: expected a list of 3, found the number 4."},
		`{"instances":[[1,2],[3,4,5]]}`:                                {nil, "Row 1: expected a list of 2, found more."},
		`{"inputs":{"a":[[1,2],[3]]}}`:                                 {nil, "Input 'a', row 1: expected a list of 2, found one of 1."},
		`{"dataframe_split":{"columns":["a","b"],"data":[[1,2],[3]]}}`: {nil, "Row 1: expected 2 values, found 1."},
		`{"messages":[{"role":"user","content":"hi"}],"max_tokens":5}`: {array, "The fields ['messages', 'max_tokens'] are a request to a language model, and this endpoint's model takes rows of values"},
		`{"prompt":"hi"}`:                                              {nil, "a request to a language model"},
		`{"input":["a"]}`:                                              {nil, "a request to a language model"},
		`{"other":["a"]}`:                                              {nil, "Received an object with the fields ['other']."},
	} {
		if b, err := NewReader(c.s).JSON([]byte(body), fields...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %d rows, %v; want …%s…", body, b.Rows, err, c.want)
		}
	}
}
