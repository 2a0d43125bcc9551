package tensor

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"unicode/utf8"
)

// Tensors makes the batch of tensors that came with types and shapes of their
// own, as in the Open Inference Protocol or in Parquet: each is one input by
// name, or a single one of two dimensions is all of a table's columns in the
// signature's order. Only conversions that lose nothing are made: to a wider
// type of the same kind, from whole numbers to a floating-point type that holds
// them, from bytes to what they spell.
func (r *Reader) Tensors(given []Tensor) (Batch, error) {
	if len(given) == 0 {
		return Batch{}, malformed("There are no inputs.")
	}
	if r.s == nil {
		return asGiven(given)
	}
	if one := &given[0]; len(given) == 1 && r.s.Form == Table && len(one.Shape) == 2 && (one.Shape[1] == len(r.s.Inputs) || r.find([]byte(one.Name), 0) < 0) && r.flat() {
		return r.spread(one)
	}
	converted := make([]Tensor, 0, len(given))
	var extra []string
	for i := range given {
		to := i
		switch {
		case r.s.Form == Array && len(given) == 1:
			to = 0
		case r.named:
			to = r.find([]byte(given[i].Name), i)
		case i >= len(r.s.Inputs):
			to = -1
		}
		if to < 0 {
			extra = append(extra, given[i].Name)
			continue
		}
		f := &r.s.Inputs[to]
		if r.named && slices.ContainsFunc(converted, func(t Tensor) bool { return t.Name == f.Name }) {
			return Batch{}, unfit(f.Name, "The input '%s' is there twice.", short(f.Name))
		}
		t, err := f.fit(given[i])
		if err != nil {
			return Batch{}, err
		}
		converted = append(converted, t)
	}
	return r.assemble(converted, extra...)
}

// flat says whether all inputs are single values.
func (r *Reader) flat() bool {
	return !slices.ContainsFunc(r.s.Inputs, func(f Field) bool { return f.Shape != nil })
}

// fit makes a tensor that of a field: its name, type and shape.
func (f *Field) fit(t Tensor) (Tensor, error) {
	rows := 0
	if len(t.Shape) > 0 {
		rows = t.Shape[0]
	}
	fits := len(t.Shape) == 1+len(f.Shape)
	if f.Shape == nil && len(t.Shape) == 2 && t.Shape[1] == 1 { // a column vector is a column
		t.Shape, fits = t.Shape[:1], true
	}
	for i := 0; fits && i < len(f.Shape); i++ {
		fits = f.Shape[i] == -1 || f.Shape[i] == t.Shape[i+1]
	}
	if !fits || len(t.Shape) == 0 {
		return t, unfit(f.Name, "Input '%s': expected the shape %s, found %v.", short(f.Name), shape(f.Shape), t.Shape)
	}
	t.Name = f.Name
	if t.Type == f.Type {
		return t, nil
	}
	data, err := convert(t, f.Type, place{f.Name, 0}, max(1, volume(t.Shape)/max(1, rows)))
	t.Type, t.Data = f.Type, data
	return t, err
}

// assemble makes a batch of one tensor for each input: of its type and shape,
// and there once. Those in extra came besides.
func (r *Reader) assemble(given []Tensor, extra ...string) (Batch, error) {
	b := Batch{Form: r.s.Form, Tensors: make([]Tensor, 0, len(given))}
	var lacking []string
	for i := range r.s.Inputs {
		f := &r.s.Inputs[i]
		at := slices.IndexFunc(given, func(t Tensor) bool { return t.Name == f.Name })
		if i < len(given) && given[i].Name == f.Name { // the usual order; and where there are no names the only one
			at = i
		}
		switch {
		case at >= 0 && (r.named || at == i):
			b.Tensors = append(b.Tensors, given[at])
		case !f.Optional:
			lacking = append(lacking, f.Name)
		}
	}
	switch {
	case lacking != nil && !r.named:
		return Batch{}, unfit("", "The model takes %d inputs, and there are %d.", len(r.s.Inputs), len(given))
	case lacking != nil:
		return Batch{}, missing(lacking, extra)
	case len(b.Tensors) == 0:
		return Batch{}, malformed("There are no inputs.")
	}
	b.Rows = b.Tensors[0].Shape[0]
	for _, t := range b.Tensors {
		if t.Shape[0] != b.Rows {
			return Batch{}, unfit(t.Name, "Input '%s' has %d rows, and '%s' has %d.", short(t.Name), t.Shape[0], short(b.Tensors[0].Name), b.Rows)
		}
	}
	if b.Rows == 0 {
		return Batch{}, unfit("", "There are no rows.")
	}
	if r.matrix != 0 {
		b.interleave(r)
	}
	return b, nil
}

// interleave makes one matrix of a table's columns.
func (b *Batch) interleave(r *Reader) {
	k, size := len(b.Tensors), r.matrix.Size()
	block := b.Tensors[0].Data
	if k > 1 {
		block = make([]byte, b.Rows*k*size)
		for i, t := range b.Tensors {
			for row := range b.Rows {
				copy(block[(row*k+i)*size:], t.Data[row*size:(row+1)*size])
			}
		}
	}
	b.Tensors = []Tensor{{Type: r.matrix, Shape: []int{b.Rows, k}, Data: block}}
	b.Columns = r.columns
}

// spread makes a table's columns of a matrix.
func (r *Reader) spread(t *Tensor) (Batch, error) {
	rows, k := t.Shape[0], t.Shape[1]
	if k != len(r.s.Inputs) {
		return Batch{}, unfit(t.Name, "Input '%s' has %d columns, and the model takes %d.", short(t.Name), k, len(r.s.Inputs))
	}
	if r.matrix != 0 {
		if rows == 0 {
			return Batch{}, unfit("", "There are no rows.")
		}
		data := t.Data
		if t.Type != r.matrix {
			var err error
			if data, err = convert(*t, r.matrix, place{t.Name, 0}, k); err != nil {
				return Batch{}, err
			}
		}
		return Batch{Form: Table, Rows: rows, Columns: r.columns, Tensors: []Tensor{{Type: r.matrix, Shape: []int{rows, k}, Data: data}}}, nil
	}
	columns := make([]Tensor, k)
	for i := range columns {
		columns[i] = Tensor{Type: t.Type, Shape: []int{rows}}
	}
	rest, size := t.Data, t.Type.Size()
	for range rows {
		for i := range columns {
			n := size
			if n == 0 {
				_, after := nextFrame(rest)
				n = len(rest) - len(after)
			}
			columns[i].Data, rest = append(columns[i].Data, rest[:n]...), rest[n:]
		}
	}
	for i := range columns {
		var err error
		if columns[i], err = r.s.Inputs[i].fit(columns[i]); err != nil {
			return Batch{}, err
		}
	}
	return r.assemble(columns)
}

// asGiven is for a model that says nothing of what it takes.
func asGiven(given []Tensor) (Batch, error) {
	b := Batch{Form: Named, Tensors: slices.Clone(given)}
	if len(given) == 1 {
		b.Form = Array
		b.Tensors[0].Name = ""
	}
	for i := range b.Tensors {
		t := &b.Tensors[i]
		if len(t.Shape) == 0 || i > 0 && t.Shape[0] != b.Rows {
			return Batch{}, unfit(t.Name, "Input '%s' has the shape %v, whose first dimension is not the rows of the others.", short(t.Name), t.Shape)
		}
		b.Rows = t.Shape[0]
		if t.Type == Binary && isText(*t) {
			t.Type = Text
		}
	}
	if b.Rows == 0 {
		return Batch{}, unfit("", "There are no rows.")
	}
	return b, nil
}

func isText(t Tensor) bool {
	for data := t.Data; len(data) > 0; {
		var element []byte
		if element, data = nextFrame(data); !utf8.Valid(element) {
			return false
		}
	}
	return true
}

// convert makes the elements of one type those of another without loss. There
// are each of them in a row, for messages.
func convert(t Tensor, to Type, p place, each int) ([]byte, error) {
	if t.Type.Framed() {
		return spell(t, to, p, each)
	}
	size, from := to.Size(), t.Type.Size()
	n := len(t.Data) / from
	refuse := func() ([]byte, error) {
		return nil, unfit(p.field, "Input '%s': expected %s, found %s, which it cannot be made of without loss.", short(p.field), to, t.Type)
	}
	width, signed := bits(t.Type)
	toWidth, toSigned := bits(to)
	var put func(dst []byte, v uint64) bool
	switch {
	case floating(t.Type) && floating(to) && size > from:
		put = func(dst []byte, v uint64) bool { return putFloat(dst, to, toFloat(v, t.Type)) }
	case width > 0 && floating(to): // whole numbers that the type holds
		limit := uint64(1) << map[Type]int{Float16: 11, Float32: 24, Float64: 53}[to]
		put = func(dst []byte, v uint64) bool {
			magnitude, f := v, float64(v)
			if signed {
				f = float64(extendSign(v, width))
				magnitude = uint64(max(extendSign(v, width), -extendSign(v, width)))
			}
			return putFloat(dst, to, f) && magnitude <= limit
		}
	case width > 0 && (toWidth > width && (toSigned || !signed) || toWidth == width && toSigned == signed):
		put = func(dst []byte, v uint64) bool {
			if signed {
				v = uint64(extendSign(v, width))
			}
			putUint(dst, size, v)
			return true
		}
	case to == Datetime && t.Type == Int64:
		return t.Data, nil
	default:
		return refuse()
	}
	out := make([]byte, n*size)
	for i := range n {
		if !put(out[i*size:(i+1)*size], getUint(t.Data[i*from:], from)) {
			return nil, unfit(p.field, "%s: the number is beyond what %s holds exactly.", in(p.field, i/each), to)
		}
	}
	return out, nil
}

func getUint(data []byte, size int) uint64 {
	switch size {
	case 1:
		return uint64(data[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(data))
	case 4:
		return uint64(binary.LittleEndian.Uint32(data))
	}
	return binary.LittleEndian.Uint64(data)
}

func extendSign(v uint64, width int) int64 { return int64(v<<(64-width)) >> (64 - width) }

func toFloat(v uint64, t Type) float64 {
	switch t {
	case Float16:
		return fromHalf(uint16(v))
	case Float32:
		return float64(math.Float32frombits(uint32(v)))
	}
	return math.Float64frombits(v)
}

// spell makes of bytes what they spell: a text, a JSON value, a time.
func spell(t Tensor, to Type, p place, each int) ([]byte, error) {
	if !to.Framed() && to != Datetime {
		return nil, unfit(p.field, "Input '%s': expected %s, found bytes.", short(p.field), to)
	}
	out := make([]byte, 0, len(t.Data))
	for i, data := 0, t.Data; len(data) > 0; i++ {
		var element []byte
		element, data = nextFrame(data)
		if element == nil && to != Datetime {
			out = appendNull(out)
			continue
		}
		ok := true
		switch to {
		case Text:
			ok = utf8.Valid(element)
		case JSON:
			ok = json.Valid(element)
		case Datetime:
			var ns int64
			ns, ok = parseTime(string(element))
			out = binary.LittleEndian.AppendUint64(out, uint64(ns))
		}
		if !ok {
			return nil, unfit(p.field, "%s: expected %s, found other bytes.", in(p.field, i/each), to.words())
		}
		if to != Datetime {
			out = appendFrame(out, element)
		}
	}
	return out, nil
}

// Columns makes the batch of a table's columns, each of single values, as they
// came from a file. One without a type could not be read: it is an error where
// the model wants it. A model without a signature gets them all.
func (r *Reader) Columns(given []Tensor) (Batch, error) {
	names := make([]string, len(given))
	for i := range given {
		names[i] = given[i].Name
	}
	if r.s == nil {
		s := &Signature{Form: Table}
		for _, t := range given {
			if t.Type != 0 {
				s.Inputs = append(s.Inputs, Field{Name: t.Name, Type: t.Type})
			}
		}
		r = NewReader(s)
	}
	if len(given) == 0 || len(r.s.Inputs) == 0 {
		return Batch{}, malformed("The table has no columns.")
	}
	r, err := r.forTable(names)
	if err != nil {
		return Batch{}, err
	}
	for i, t := range given {
		if t.Type == 0 && (r.named && r.find([]byte(t.Name), i) >= 0 || !r.named && i < len(r.s.Inputs)) {
			return Batch{}, unfit(t.Name, "Input '%s' is a column of lists or of a type that is not read. Send JSON.", short(t.Name))
		}
	}
	return r.Tensors(given)
}
