package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// A segment is a series of records: u32 length and u32 CRC-32C of what
// follows, both little-endian, then one byte that says what it is, and its
// content. What a kill cut off does not fit its length or its checksum, and
// ends the segment there.
const (
	recordHead     = 'H' // the first one: Origin as JSON
	recordLayout   = 'L' // a layout as JSON; the n-th is number n, from 0
	recordExchange = 'X'
	recordRow      = 'C' // a row that the model's own code collected
	recordProbe    = 'P' // the same, of a request with a purpose
)

const (
	recordPrefix = 8
	maxRecord    = 16 << 20
	maxPayload   = 4 << 20 // bytes of an input or output; of a larger one only the size is kept
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// begin starts a record in b; seal ends it.
func begin(b []byte, kind byte) []byte {
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0, kind)
}

// seal fills in the prefix of the record that began at from.
func seal(b []byte, from int) {
	content := b[from+recordPrefix:]
	binary.LittleEndian.PutUint32(b[from:], uint32(len(content)))
	binary.LittleEndian.PutUint32(b[from+4:], crc32.Checksum(content, castagnoli))
}

// A layout is all of a Batch but its values.
type layout struct {
	Columns []string `json:"columns,omitempty"`
	Tensors []field  `json:"tensors"`
}

type field struct {
	Name  string      `json:"name,omitempty"`
	Type  tensor.Type `json:"type"`
	Shape []int       `json:"shape,omitempty"` // of one row
}

func layoutOf(b tensor.Batch) layout {
	var l layout
	for _, c := range b.Columns {
		l.Columns = append(l.Columns, strings.Clone(c)) // names may lie in the request's body
	}
	for _, t := range b.Tensors {
		l.Tensors = append(l.Tensors, field{strings.Clone(t.Name), t.Type, slices.Clone(t.Shape[min(1, len(t.Shape)):])})
	}
	return l
}

// fits reports whether l is the batch's layout.
func (l *layout) fits(b *tensor.Batch) bool {
	if len(l.Tensors) != len(b.Tensors) || !slices.Equal(l.Columns, b.Columns) {
		return false
	}
	for i := range b.Tensors {
		t, f := &b.Tensors[i], &l.Tensors[i]
		if t.Type != f.Type || t.Name != f.Name || !slices.Equal(t.Shape[min(1, len(t.Shape)):], f.Shape) {
			return false
		}
	}
	return true
}

// What a payload, the input or the output of an exchange, is kept as.
const (
	payloadNone    = iota
	payloadBytes   // as it came or went
	payloadTensors // a layout's number, rows, parameters, and the tensors' data
	payloadOmitted // too large, or of too many shapes: only its size
)

// appendExchange appends a record. Layouts are numbers, see Journal.number.
func appendExchange(b []byte, x *exchange.Exchange, e *entry) []byte {
	from := len(b)
	b = begin(b, recordExchange)
	b = binary.AppendVarint(b, x.Began.UnixMicro())
	for _, d := range [...]time.Duration{e.latency, x.Queued, x.Model} {
		b = binary.AppendUvarint(b, uint64(max(0, d)))
	}
	b = binary.AppendUvarint(b, uint64(max(0, x.Status)))
	b = binary.AppendUvarint(b, uint64(max(0, x.Batch)))
	b = binary.AppendUvarint(b, uint64(max(0, x.Worker)))
	for _, s := range [...]string{x.Dialect, clip(x.RequestID), clip(x.ClientID), clip(x.TraceID)} {
		b = appendText(b, s)
	}
	failure := ""
	if x.Failure != nil {
		failure = x.Failure.Error()
	}
	b = appendText(b, clip(failure))
	b = e.input.append(b)
	b = e.output.append(b)
	if x.Purpose != "" { // the last one, and most often not there: segments written before there was one read the same
		b = appendText(b, clip(x.Purpose))
	}
	seal(b, from)
	return b
}

// clip bounds what a client or a traceback may put into every row.
func clip(s string) string { return s[:min(len(s), 2000)] }

// An entry is what an exchange's record has besides the exchange's own fields.
type entry struct {
	latency       time.Duration
	input, output payload
}

type payload struct {
	kind   byte
	bytes  []byte // payloadBytes
	layout int    // payloadTensors
	batch  *tensor.Batch
	size   int // payloadOmitted
}

func (p *payload) append(b []byte) []byte {
	b = append(b, p.kind)
	switch p.kind {
	case payloadBytes:
		b = binary.AppendUvarint(b, uint64(len(p.bytes)))
		b = append(b, p.bytes...)
	case payloadTensors:
		b = binary.AppendUvarint(b, uint64(p.layout))
		b = binary.AppendUvarint(b, uint64(p.batch.Rows))
		b = binary.AppendUvarint(b, uint64(len(p.batch.Params)))
		b = append(b, p.batch.Params...)
		for i := range p.batch.Tensors {
			b = binary.AppendUvarint(b, uint64(len(p.batch.Tensors[i].Data)))
			b = append(b, p.batch.Tensors[i].Data...)
		}
	case payloadOmitted:
		b = binary.AppendUvarint(b, uint64(p.size))
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// A collected row is one that a model's own code gave to a Collector.
type collectedRow struct {
	time       int64 // microseconds since 1970
	collection string
	requestID  string
	row        int
	purpose    string // of the request that it belongs to
	data       []byte // a JSON object
}

func appendCollected(b []byte, c collectedRow) []byte {
	from := len(b)
	kind := byte(recordRow)
	if c.purpose != "" {
		kind = recordProbe
	}
	b = begin(b, kind)
	b = binary.AppendVarint(b, c.time)
	b = appendText(b, c.collection)
	b = appendText(b, c.requestID)
	b = binary.AppendUvarint(b, uint64(c.row))
	if kind == recordProbe {
		b = appendText(b, c.purpose)
	}
	b = append(b, c.data...)
	seal(b, from)
	return b
}

func appendJSON(b []byte, kind byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return b, err
	}
	from := len(b)
	b = append(begin(b, kind), text...)
	seal(b, from)
	return b, nil
}

// A logged exchange is what a record says. Its slices point into the record.
type logged struct {
	time                            int64 // microseconds since 1970
	latency, queued, model          time.Duration
	status, batch, worker           int
	dialect, request, client, trace []byte
	failure, purpose                []byte
	input, output                   loggedPayload
	inputParams                     []byte
}

type loggedPayload struct {
	kind   byte
	bytes  []byte
	layout int
	rows   int
	data   [][]byte // of each tensor
	size   int
}

var errRecord = errors.New("a record whose checksum is right does not read as one")

func readExchange(content []byte, layouts []layout) (logged, error) {
	r := &reading{b: content}
	x := logged{time: r.varint()}
	x.latency, x.queued, x.model = time.Duration(r.uvarint()), time.Duration(r.uvarint()), time.Duration(r.uvarint())
	x.status, x.batch, x.worker = r.number(), r.number(), r.number()
	x.dialect, x.request, x.client, x.trace, x.failure = r.bytes(), r.bytes(), r.bytes(), r.bytes(), r.bytes()
	x.input, x.inputParams = r.payload(layouts)
	x.output, _ = r.payload(layouts)
	if !r.bad && len(r.b) > 0 {
		x.purpose = r.bytes()
	}
	if r.bad || len(r.b) > 0 {
		return x, errRecord
	}
	return x, nil
}

func readCollected(kind byte, content []byte) (collectedRow, error) {
	r := &reading{b: content}
	c := collectedRow{time: r.varint(), collection: string(r.bytes()), requestID: string(r.bytes()), row: r.number()}
	if kind == recordProbe {
		c.purpose = string(r.bytes())
	}
	c.data = r.b
	if r.bad {
		return c, errRecord
	}
	return c, nil
}

// reading takes a record apart; bad is set when it ends too early.
type reading struct {
	b   []byte
	bad bool
}

func (r *reading) varint() int64 {
	v, n := binary.Varint(r.b)
	return v * int64(r.skip(n))
}

func (r *reading) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	return v * uint64(r.skip(n))
}

// skip returns 1 when there were n bytes to skip, else 0.
func (r *reading) skip(n int) int {
	if r.bad = r.bad || n <= 0; r.bad {
		return 0
	}
	r.b = r.b[n:]
	return 1
}

// number is an uvarint that fits an int.
func (r *reading) number() int {
	v := r.uvarint()
	if v > 1<<40 {
		r.bad = true
		return 0
	}
	return int(v)
}

func (r *reading) bytes() []byte {
	n := r.number()
	if r.bad = r.bad || n > len(r.b); r.bad {
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reading) payload(layouts []layout) (p loggedPayload, params []byte) {
	if r.bad = r.bad || len(r.b) == 0; r.bad {
		return p, nil
	}
	size := 0
	p.kind, r.b = r.b[0], r.b[1:]
	switch p.kind {
	case payloadNone:
	case payloadBytes:
		p.bytes = r.bytes()
	case payloadTensors:
		p.layout, p.rows = r.number(), r.number()
		params = r.bytes()
		if r.bad = r.bad || p.layout >= len(layouts); r.bad {
			return p, nil
		}
		for range layouts[p.layout].Tensors {
			p.data = append(p.data, r.bytes())
			size += len(p.data[len(p.data)-1])
		}
		p.rows = min(p.rows, size) // no row is made of nothing
	case payloadOmitted:
		p.size = r.number()
	default:
		r.bad = true
	}
	return p, params
}
