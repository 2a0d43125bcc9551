package worker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// FrameType says what a frame carries.
type FrameType uint8

// The frame types. Request and Predict come from this side, all others from the
// worker.
const (
	FrameHello     FrameType = 1 // init() has returned; id 0
	FrameFailed    FrameType = 2 // import or init() failed; id 0
	FrameRequest   FrameType = 3
	FrameResponse  FrameType = 4 // of the request with the same id
	FramePredict   FrameType = 5 // tensors for a model
	FramePredicted FrameType = 6 // of the frame with the same id
)

// A Frame is the unit of the channel between this process and a worker. In
// network byte order: u32 length of all that follows, u8 type, u64 id, u32
// length of the header, the header (a JSON object), the body (raw bytes).
//
// The Python side is python/ridgeline_worker/frames.py; python/testdata/frames
// is read by the tests of both.
type Frame struct {
	Type   FrameType
	ID     uint64
	Header []byte
	Body   []byte
}

const (
	framePrefix = 4 + 1 + 8 + 4
	frameFixed  = framePrefix - 4 // what the length counts besides header and body
	// FrameLimit bounds a frame's length field; more is a broken stream.
	FrameLimit = 1 << 30
)

// Append appends the frame's encoding to b.
func (f Frame) Append(b []byte) ([]byte, error) {
	length := frameFixed + len(f.Header) + len(f.Body)
	if length > FrameLimit {
		return nil, fmt.Errorf("a frame holds at most %d bytes, this one would have %d", FrameLimit, length)
	}
	return append(append(appendPrefix(b, f.Type, f.ID, length, len(f.Header)), f.Header...), f.Body...), nil
}

// ReadFrame reads one frame. It returns io.EOF when the stream ended before
// it, io.ErrUnexpectedEOF when it ended within, and another error when what is
// there is no frame; nothing can be read after that.
func ReadFrame(r io.Reader) (Frame, error) {
	var p [framePrefix]byte
	if _, err := io.ReadFull(r, p[:]); err != nil {
		return Frame{}, err
	}
	length := binary.BigEndian.Uint32(p[:])
	f := Frame{Type: FrameType(p[4]), ID: binary.BigEndian.Uint64(p[5:])}
	header := binary.BigEndian.Uint32(p[13:])
	switch {
	case length < frameFixed || length > FrameLimit:
		return Frame{}, fmt.Errorf("impossible frame length %d", length)
	case header > length-frameFixed:
		return Frame{}, fmt.Errorf("header of %d bytes in a frame with %d left", header, length-frameFixed)
	case f.Type < FrameHello || f.Type > FramePredicted:
		return Frame{}, fmt.Errorf("unknown frame type %d", f.Type)
	}
	data, err := readN(r, int(length-frameFixed))
	if err != nil {
		return Frame{}, err
	}
	f.Header, f.Body = data[:header:header], data[header:]
	return f, nil
}

// readN does not believe a large length before the bytes have come.
func readN(r io.Reader, n int) ([]byte, error) {
	const trusted = 1 << 20
	if n <= trusted {
		data := make([]byte, n)
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, unexpected(err)
		}
		return data, nil
	}
	var b bytes.Buffer
	b.Grow(trusted)
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		return nil, unexpected(err)
	}
	return b.Bytes(), nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
