package tensor

import "fmt"

// types is the one table of the element types: their names on the wire, and
// the bytes of one element; 0 for a framed type. The names of numbers are
// those of the Open Inference Protocol; its BYTES is Text or Binary here.
var types = [...]struct {
	name string
	size int
}{
	Bool: {"BOOL", 1}, Uint8: {"UINT8", 1}, Uint16: {"UINT16", 2}, Uint32: {"UINT32", 4}, Uint64: {"UINT64", 8},
	Int8: {"INT8", 1}, Int16: {"INT16", 2}, Int32: {"INT32", 4}, Int64: {"INT64", 8},
	Float16: {"FP16", 2}, Float32: {"FP32", 4}, Float64: {"FP64", 8},
	Datetime: {"DATETIME", 8}, Text: {"TEXT", 0}, Binary: {"BINARY", 0}, JSON: {"JSON", 0},
}

// Types lists every type, for tables that must be complete.
func Types() []Type {
	all := make([]Type, 0, len(types)-1)
	for t := Bool; int(t) < len(types); t++ {
		all = append(all, t)
	}
	return all
}

// Valid reports whether t is one of the types.
func (t Type) Valid() bool { return t >= Bool && int(t) < len(types) }

// Size is the bytes of one element; 0 when they are framed.
func (t Type) Size() int {
	if !t.Valid() {
		return 0
	}
	return types[t].size
}

// Framed reports whether each element has a length of its own, see Tensor.Data.
func (t Type) Framed() bool { return t == Text || t == Binary || t == JSON }

func (t Type) String() string {
	if !t.Valid() {
		return fmt.Sprintf("type %d", uint8(t))
	}
	return types[t].name
}

// MarshalText is the type's name on the wire.
func (t Type) MarshalText() ([]byte, error) {
	if !t.Valid() {
		return nil, fmt.Errorf("there is no tensor type %d", uint8(t))
	}
	return []byte(types[t].name), nil
}

// UnmarshalText reads a name as MarshalText writes it.
func (t *Type) UnmarshalText(text []byte) error {
	for _, known := range Types() {
		if types[known].name == string(text) {
			*t = known
			return nil
		}
	}
	return fmt.Errorf("there is no tensor type %q", text)
}

var forms = [...]string{Table: "table", Array: "array", Named: "named"}

func (f Form) String() string {
	if f < Table || int(f) >= len(forms) {
		return fmt.Sprintf("form %d", uint8(f))
	}
	return forms[f]
}

// MarshalText is the form's name on the wire.
func (f Form) MarshalText() ([]byte, error) {
	if f < Table || int(f) >= len(forms) {
		return nil, fmt.Errorf("there is no form %d of a batch", uint8(f))
	}
	return []byte(forms[f]), nil
}

// UnmarshalText reads a name as MarshalText writes it.
func (f *Form) UnmarshalText(text []byte) error {
	for known := Table; int(known) < len(forms); known++ {
		if forms[known] == string(text) {
			*f = known
			return nil
		}
	}
	return fmt.Errorf("there is no form %q of a batch: expected table, array or named", text)
}
