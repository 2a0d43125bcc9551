package tensor

import (
	"strconv"
	"unicode/utf8"
)

// Datatype is the Open Inference Protocol's name for a type. What it has no
// name for travels as BYTES: texts, JSON values, times in ISO 8601.
func (t Type) Datatype() string {
	if t.Framed() || t == Datetime {
		return "BYTES"
	}
	return t.String()
}

// OfDatatype is the type of a datatype's elements; false when the protocol has
// none of that name. BYTES is Binary: what the bytes spell is the signature's to
// say.
func OfDatatype(name string) (Type, bool) {
	if name == "BYTES" {
		return Binary, true
	}
	var t Type
	if t.UnmarshalText([]byte(name)) != nil || t.Datatype() != name {
		return 0, false
	}
	return t, true
}

// An Inference is a request of the Open Inference Protocol.
type Inference struct {
	ID      string
	Outputs []string // the names of those that are wanted; nil for all
	Batch   Batch
}

// Inference reads the protocol's JSON: each input with a name, a shape, a
// datatype and its data, nested or flat.
func (r *Reader) Inference(body []byte) (Inference, error) {
	var in Inference
	if !utf8.Valid(body) {
		return in, malformed("The body is not UTF-8.")
	}
	c := cursor{in: body}
	if c.next() != '{' {
		return in, malformed("Expected a JSON object with the field 'inputs'. Received %s.", c.kind())
	}
	var given []Tensor
	seen := false
	err := c.object(func(name []byte) (err error) {
		switch string(name) {
		case "id":
			if c.next() != '"' {
				return malformed("The field 'id' is to be a text, found %s.", c.kind())
			}
			var text []byte
			text, err = c.text()
			in.ID = string(text)
		case "inputs":
			if seen {
				return malformed("The field 'inputs' is there twice.")
			}
			seen = true
			if c.next() != '[' {
				return malformed("The field 'inputs' is to be a list, found %s.", c.kind())
			}
			err = c.list(func(i int) error {
				t, err := c.input(i)
				given = append(given, t)
				return err
			})
		case "outputs":
			if c.next() == 'n' && c.literal("null") {
				return nil
			}
			if c.next() != '[' {
				return malformed("The field 'outputs' is to be a list, found %s.", c.kind())
			}
			err = c.list(func(int) error {
				output, err := c.output()
				in.Outputs = append(in.Outputs, output)
				return err
			})
		default:
			_, err = c.skip()
		}
		return err
	})
	if err == nil {
		err = c.end()
	}
	if err == nil && !seen {
		err = malformed("Expected a JSON object with the field 'inputs'.")
	}
	if err == nil {
		in.Batch, err = r.Tensors(given)
		in.Batch.Params = r.params
	}
	return in, err
}

// output reads what names one of the wanted outputs.
func (c *cursor) output() (output string, err error) {
	if c.next() != '{' {
		return "", malformed("An output is to be an object with a name, found %s.", c.kind())
	}
	err = c.object(func(name []byte) error {
		if string(name) != "name" || c.next() != '"' {
			_, err := c.skip()
			return err
		}
		text, err := c.text()
		output = string(text)
		return err
	})
	if err == nil && output == "" {
		err = malformed("An output that is asked for has no name.")
	}
	return output, err
}

// input reads one input.
func (c *cursor) input(i int) (Tensor, error) {
	var t Tensor
	if c.next() != '{' {
		return t, malformed("Input %d is to be an object with name, shape, datatype and data, found %s.", i, c.kind())
	}
	at := -1 // where the data is, when the shape and the datatype come after it
	encoded, read := false, false
	err := c.object(func(name []byte) (err error) {
		switch string(name) {
		case "name":
			if c.next() != '"' {
				return malformed("The name of input %d is to be a text, found %s.", i, c.kind())
			}
			var text []byte
			text, err = c.text()
			t.Name = string(text)
		case "datatype":
			if c.next() != '"' {
				return malformed("The datatype of input %d is to be a text, found %s.", i, c.kind())
			}
			text, err := c.text()
			if err != nil {
				return err
			}
			var ok bool
			if t.Type, ok = OfDatatype(string(text)); !ok {
				return malformed("Input %d has the datatype '%s'. Known are BOOL, UINT8 to UINT64, INT8 to INT64, FP16, FP32, FP64 and BYTES.", i, short(string(text)))
			}
		case "shape":
			t.Shape, err = c.shape(i)
		case "parameters":
			encoded, err = c.base64()
		case "data":
			c.next()
			if at >= 0 {
				return malformed("The data of input %d is there twice.", i)
			}
			at = c.at
			if t.Name != "" && t.Type != 0 && t.Shape != nil {
				read = true
				return c.data(&t, encoded)
			}
			_, err = c.skip()
		default:
			_, err = c.skip()
		}
		return err
	})
	switch {
	case err != nil:
		return t, err
	case t.Name == "" || t.Type == 0 || t.Shape == nil || at < 0:
		return t, malformed("Input %d needs a name, a shape, a datatype and data.", i)
	case !read || encoded && t.Type == Binary: // the parameters may have come last
		late := cursor{in: c.in, at: at}
		t.Data = nil
		err = late.data(&t, encoded)
	}
	return t, err
}

func (c *cursor) shape(i int) ([]int, error) {
	if c.next() != '[' {
		return nil, malformed("The shape of input %d is to be a list, found %s.", i, c.kind())
	}
	shape, elements := []int{}, uint64(1)
	err := c.list(func(int) error {
		if b := c.next(); b-'0' > 9 {
			return malformed("The shape of input %d is to be a list of whole numbers, found %s.", i, c.kind())
		}
		n, err := c.number()
		if err != nil {
			return err
		}
		d, whole := n.integer()
		if elements *= min(d, 1<<31); !whole || d > 1<<31 || elements > uint64(len(c.in)) {
			return malformed("The shape of input %d is that of more elements than the body has bytes.", i)
		}
		shape = append(shape, int(d))
		return nil
	})
	if err == nil && len(shape) == 0 {
		err = malformed("The shape of input %d is empty: its first dimension is the rows.", i)
	}
	return shape, err
}

// base64 reads an input's parameters and says whether its bytes are encoded,
// which MLServer's clients call a content type.
func (c *cursor) base64() (encoded bool, err error) {
	if c.next() != '{' {
		_, err = c.skip()
		return false, err
	}
	err = c.object(func(name []byte) error {
		raw, err := c.skip()
		encoded = encoded || string(name) == "content_type" && string(raw) == `"base64"`
		return err
	})
	return encoded, err
}

// data reads an input's elements. Those of BYTES are the bytes of a text
// unless they are encoded.
func (c *cursor) data(t *Tensor, encoded bool) (err error) {
	as := t.Type
	if as == Binary && !encoded {
		as = Text
	}
	t.Data, err = c.nested(nil, as, t.Shape, place{t.Name, -1})
	return err
}

// AppendOutput appends a tensor as the protocol's JSON spells an output.
func (t *Tensor) AppendOutput(dst []byte, name string) ([]byte, error) {
	dst = appendText(append(dst, `{"name":`...), name)
	dst = append(dst, `,"shape":[`...)
	for i, d := range t.Shape {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, int64(d), 10)
	}
	dst = append(append(append(dst, `],"datatype":"`...), t.Type.Datatype()...), '"')
	if t.Type == Binary {
		dst = append(dst, `,"parameters":{"content_type":"base64"}`...)
	}
	dst = append(dst, `,"data":`...)
	var err error
	if t.Type != JSON {
		dst, err = t.AppendFlat(dst)
		return append(dst, '}'), err
	}
	dst = append(dst, '[') // the text of each value
	for i, data := 0, t.Data; len(data) > 0; i++ {
		var element []byte
		if element, data = nextFrame(data); i > 0 {
			dst = append(dst, ',')
		}
		if element == nil {
			element = []byte("null")
		}
		dst = appendText(dst, view(element))
	}
	return append(dst, "]}"...), err
}

// Outputs is a batch as tensors that each have a name: a table's columns apart,
// and what has no name called otherwise.
func (b Batch) Outputs(otherwise string) []Tensor {
	if b.Columns == nil {
		named := make([]Tensor, len(b.Tensors))
		for i, t := range b.Tensors {
			if t.Name == "" {
				t.Name = otherwise
			}
			named[i] = t
		}
		return named
	}
	matrix := b.Tensors[0]
	size, k := matrix.Type.Size(), len(b.Columns)
	named := make([]Tensor, k)
	for i, name := range b.Columns {
		data := make([]byte, 0, b.Rows*size)
		for row := range b.Rows {
			at := (row*k + i) * size
			data = append(data, matrix.Data[at:at+size]...)
		}
		named[i] = Tensor{Name: name, Type: matrix.Type, Shape: []int{b.Rows}, Data: data}
	}
	return named
}

// Bytes is the tensor's elements as BYTES has them: framed. Null has no place
// there and is empty.
func (t *Tensor) Bytes() []byte {
	if t.Type == Datetime {
		return t.times()
	}
	out := make([]byte, 0, len(t.Data))
	for data := t.Data; len(data) > 0; {
		var element []byte
		element, data = nextFrame(data)
		out = appendFrame(out, element)
	}
	return out
}

func (t *Tensor) times() (out []byte) {
	for data := t.Data; len(data) > 0; {
		var text []byte
		text, data, _ = t.element(nil, data) // a time is never infinite
		if string(text) == "null" {
			text = []byte(`"NaT"`)
		}
		out = appendFrame(out, text[1:len(text)-1])
	}
	return out
}

// Frames calls each for every element of a framed block.
func Frames(data []byte, each func(element []byte)) {
	for len(data) > 0 {
		var element []byte
		element, data = nextFrame(data)
		each(element)
	}
}

// AppendFrame appends an element to a framed block.
func AppendFrame(dst, element []byte) []byte { return appendFrame(dst, element) }
