package worker

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// Frames are frames that are sent by one write. The zero value is empty.
// Large blocks are not copied, and must not change until they are sent.
type Frames struct {
	b     []byte // everything small
	large []large
}

type large struct {
	at   int // in b, where it goes
	data []byte
}

const (
	copied = 32 << 10 // a block up to this size is copied rather than sent as a piece of its own
	kept   = 1 << 20  // of memory for the next frames
)

// Reset empties it for other frames.
func (o *Frames) Reset() {
	clear(o.large)
	o.b, o.large = o.b[:0], o.large[:0]
	if cap(o.b) > kept {
		o.b = nil
	}
}

// Request adds one call of run(). Frames says how many requests, this one
// included, follow each other and are to be run together; 0 or 1 for none.
func (o *Frames) Request(id uint64, r Request, hello Hello, together int) error {
	h := requestHeader{Purpose: r.Purpose}
	if r.Method != "" && r.Method != "POST" {
		h.Method, h.Query = r.Method, r.Query
	}
	if hello.Schema {
		h.ContentType = r.ContentType
	}
	if hello.Headers || hello.Raw {
		h.Headers = r.Headers
	}
	if hello.Raw {
		h.Query = r.Query
	}
	if together > 1 {
		h.Together = together
	}
	header := emptyObject
	if h.Method != "" || h.Query != "" || h.ContentType != "" || h.Headers != nil || h.Purpose != "" || h.Together > 0 {
		var err error
		if header, err = json.Marshal(h); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	if err := o.begin(FrameRequest, id, len(header), len(r.Body)); err != nil {
		return err
	}
	o.b = append(o.b, header...)
	o.block(r.Body)
	return nil
}

var emptyObject = []byte("{}")

// Predict adds one frame with the rows of batches that have the same layout.
func (o *Frames) Predict(id uint64, batches []tensor.Batch) error {
	first := &batches[0]
	rows, body := 0, 0
	for i := range batches {
		rows += batches[i].Rows
	}
	for k := range first.Tensors {
		size := 0
		for i := range batches {
			size += len(batches[i].Tensors[k].Data)
		}
		body += size + padding(size)
	}
	header, err := appendPredictHeader(make([]byte, 0, 256), first, rows)
	if err != nil {
		return ridgeline.Errorf(ridgeline.Invalid, "these tensors cannot be sent: %w", err)
	}
	if err := o.begin(FramePredict, id, len(header), body); err != nil {
		return err
	}
	o.b = append(o.b, header...)
	for k := range first.Tensors {
		size := 0
		for i := range batches {
			data := batches[i].Tensors[k].Data
			size += len(data)
			o.block(data)
		}
		o.b = append(o.b, zeros[:padding(size)]...)
	}
	return nil
}

func (o *Frames) begin(t FrameType, id uint64, header, body int) error {
	length := frameFixed + header + body
	if length > FrameLimit {
		return ridgeline.Errorf(ridgeline.Invalid, "the request is too large: a worker takes at most %d bytes, this would be %d", FrameLimit, length)
	}
	o.b = slices.Grow(o.b, framePrefix+header+min(body, copied))
	o.b = appendPrefix(o.b, t, id, length, header)
	return nil
}

func (o *Frames) block(data []byte) {
	if len(data) <= copied {
		o.b = append(o.b, data...)
		return
	}
	o.large = append(o.large, large{len(o.b), data})
}

// Len is the bytes to be sent.
func (o *Frames) Len() int {
	n := len(o.b)
	for _, l := range o.large {
		n += len(l.data)
	}
	return n
}

// WriteTo writes them; to a socket by one system call, unless it has no room.
func (o *Frames) WriteTo(w io.Writer) (int64, error) {
	if len(o.large) == 0 {
		n, err := w.Write(o.b)
		return int64(n), err
	}
	pieces := make(net.Buffers, 0, 2*len(o.large)+1)
	from := 0
	for _, l := range o.large {
		pieces = append(pieces, o.b[from:l.at], l.data)
		from = l.at
	}
	pieces = append(pieces, o.b[from:])
	return pieces.WriteTo(w)
}

func appendPrefix(b []byte, t FrameType, id uint64, length, header int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	b = append(b, byte(t))
	b = binary.BigEndian.AppendUint64(b, id)
	return binary.BigEndian.AppendUint32(b, uint32(header))
}

// appendPredictHeader writes what predictHeader describes. By hand: it is
// written for every batch, and reflection takes as long as all else together.
func appendPredictHeader(b []byte, first *tensor.Batch, rows int) ([]byte, error) {
	b = append(b, `{"form":"`...)
	b = append(b, first.Form.String()...)
	b = append(b, `","rows":`...)
	b = strconv.AppendInt(b, int64(rows), 10)
	if first.Columns != nil {
		text, err := json.Marshal(first.Columns)
		if err != nil {
			return nil, err
		}
		b = append(append(b, `,"columns":`...), text...)
	}
	if first.Params != nil {
		text, err := json.Marshal(first.Params) // refuses what is no JSON
		if err != nil {
			return nil, err
		}
		b = append(append(b, `,"params":`...), text...)
	}
	b = append(b, `,"tensors":[`...)
	for i := range first.Tensors {
		t := &first.Tensors[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"name":`...)
		if t.Name == "" {
			b = append(b, `""`...)
		} else {
			text, err := json.Marshal(t.Name)
			if err != nil {
				return nil, err
			}
			b = append(b, text...)
		}
		b = append(b, `,"type":"`...)
		b = append(b, t.Type.String()...)
		b = append(b, `","shape":[`...)
		for k, d := range t.Shape {
			if k == 0 {
				d = rows
			} else {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(d), 10)
		}
		b = append(b, "]}"...)
	}
	b = append(b, "]}"...)
	return append(b, spaces[:padding(len(b))]...), nil
}

var spaces = [blockAlign]byte{' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '}
