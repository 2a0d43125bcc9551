package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// Convert writes a segment as a Parquet file and returns how many rows the
// file has. A request has one row for each row of its input (or
// of its output, where that has more), and one when it has no rows.
//
// The segment is read twice: once for what columns there are, once for the
// values, of which a few megabytes are in memory at a time.
func Convert(in io.ReadSeeker, out io.Writer) (rows int64, err error) {
	_, rows, err = convert(in, out)
	return rows, err
}

// convert is Convert, and returns the segment's head as well.
func convert(in io.ReadSeeker, out io.Writer) (head, int64, error) {
	s, err := readSegment(in)
	if err != nil {
		return head{}, 0, err
	}
	t := newTable()
	if err := t.survey(s); err != nil {
		return s.head, 0, err
	}
	if t.records == 0 {
		return s.head, 0, nil
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return s.head, 0, err
	}
	if s, err = readSegment(in); err != nil {
		return head{}, 0, err
	}
	rows, err := t.write(s, out)
	return s.head, rows, err
}

// A column is a leaf of the file, its values since the last chunk was written.
type column struct {
	name   string
	node   parquet.Node
	of     tensor.Type // of an input's or output's values, else 0
	list   bool        // optional list of optional elements; otherwise an optional value
	index  int
	values []parquet.Value
	mark   int    // values before the row that is being made
	always []byte // every row has this value; it is not set row by row
}

// A table is a Parquet file being made.
type table struct {
	fixed
	columns []*column
	named   map[string]*column
	met     [2]map[int]bool // by side: the layouts of some payload
	placed  [2][]*placed    // by side and layout's number
	records int
	list    []parquet.Value // of the row that is being made

	written, chunk int // rows, and of those since the last chunk
	bytes          int // since the last row group
}

// columns that every file has, in this order.
type fixed struct {
	time, requestID, row, rows, clientID, traceID                *column
	project, environment, model, version, deployment, copy       *column
	dialect, status, failure, latency, queue, run, batch, worker *column
	omitted, collection, purpose                                 *column
}

func (t *table) fix() {
	text := func(name string) *column { return t.add(name, parquet.String(), false) }
	whole := func(name string) *column { return t.add(name, parquet.Int(32), false) }
	ms := func(name string) *column { return t.add(name, parquet.Leaf(parquet.DoubleType), false) }
	t.time = t.add("time", parquet.Timestamp(parquet.Microsecond), false)
	t.requestID, t.row, t.rows, t.clientID, t.traceID = text("request_id"), whole("row"), whole("rows"), text("client_id"), text("trace_id")
	t.project, t.environment, t.model, t.version = text("project"), text("environment"), text("model"), text("version")
	t.deployment, t.copy, t.dialect = text("deployment"), text("copy"), text("dialect")
	t.status, t.failure = whole("status"), text("error")
	t.latency, t.queue, t.run = ms("latency_ms"), ms("queue_ms"), ms("model_ms")
	t.batch, t.worker, t.omitted, t.collection = whole("batch"), whole("worker"), text("omitted"), text("collection")
	t.purpose = text("purpose")
}

const (
	columnRequest  = "request"
	columnResponse = "response"
	columnParams   = "params"
	columnData     = "data"
	binarySuffix   = "_binary"
)

func newTable() *table {
	t := &table{named: map[string]*column{}, met: [2]map[int]bool{{}, {}}}
	t.fix()
	return t
}

func (t *table) add(name string, node parquet.Node, list bool) *column {
	c := &column{name: name, node: node, list: list}
	t.columns = append(t.columns, c)
	t.named[name] = c
	return c
}

// text makes sure of a column of text, or of bytes when b is none.
func (t *table) text(name string, b []byte) *column {
	node := parquet.String
	if !utf8.Valid(b) {
		name, node = name+binarySuffix, func() parquet.Node { return parquet.Leaf(parquet.ByteArrayType) }
	}
	if c := t.named[name]; c != nil {
		return c
	}
	return t.add(name, node(), false)
}

// survey finds the columns that the segment needs beyond the fixed ones.
func (t *table) survey(s *segmentReader) error {
	for {
		s.reuse()
		kind, err := s.next()
		if errors.Is(err, io.EOF) {
			t.settle(s.layouts)
			return nil
		} else if err != nil {
			return err
		}
		switch kind {
		case recordExchange:
			x, err := readExchange(s.content, s.layouts)
			if err != nil {
				continue // a fault of ours must not keep back all the others
			}
			for side, p := range []*loggedPayload{&x.input, &x.output} {
				switch p.kind {
				case payloadBytes:
					t.text([]string{columnRequest, columnResponse}[side], p.bytes)
				case payloadTensors:
					t.met[side][p.layout] = true
				}
			}
			if len(x.inputParams) > 0 {
				t.text(columnParams, nil)
			}
		case recordRow, recordProbe:
			if _, err := readCollected(kind, s.content); err != nil {
				continue
			}
			t.text(columnData, nil)
		default:
			continue
		}
		t.records++
	}
}

// orderedGroup keeps its columns in their order; a Group sorts them by name.
type orderedGroup struct {
	parquet.Group
	order map[string]int
}

// Fields implements parquet.Node.
func (g orderedGroup) Fields() []parquet.Field {
	fields := g.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int { return g.order[a.Name()] - g.order[b.Name()] })
	return fields
}

func (t *table) schema() *parquet.Schema {
	g := orderedGroup{parquet.Group{}, map[string]int{}}
	for i, c := range t.columns {
		c.index = i
		node := parquet.Optional(c.node)
		if c.list {
			node = parquet.Optional(parquet.List(node))
		}
		g.Group[c.name], g.order[c.name] = node, i
	}
	return parquet.NewSchema("predictions", g)
}

const (
	chunkValues   = 8 << 10 // handed to the writer at once, all columns together
	rowGroupBytes = 2 << 20 // of values; what is in memory grows with it
)

// SampleKey is the key of a file's metadata under which the share of requests
// stands that was kept.
const SampleKey = "ridgeline.sample"

// Describe reads that share, as it stands there and empty when there is none,
// and whether the file has times in nanoseconds, which many readers cut off.
func Describe(path string) (sample string, fine bool, err error) {
	in, err := os.Open(path)
	if err != nil {
		return "", false, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return "", false, err
	}
	f, err := parquet.OpenFile(in, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return "", false, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	sample, _ = f.Lookup(SampleKey)
	for _, column := range f.Metadata().Schema {
		of, ok := column.LogicalType.Value.(*format.TimestampType)
		fine = fine || ok && of.Unit.Value.Duration() == time.Nanosecond
	}
	return sample, fine, nil
}

func (t *table) write(s *segmentReader, out io.Writer) (int64, error) {
	w := parquet.NewGenericWriter[any](out, t.schema(), parquet.Compression(&parquet.Snappy),
		parquet.PageBufferSize(min(32<<10, max(1<<10, rowGroupBytes/len(t.columns)))),
		parquet.CreatedBy("ridgeline", "1", ""),
		parquet.KeyValueMetadata(SampleKey, strconv.FormatFloat(s.head.Sample, 'g', -1, 64)),
		parquet.KeyValueMetadata("ridgeline.began", s.head.Began.UTC().Format(time.RFC3339Nano)))
	t.origin(s.head)
	for {
		kind, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, err
		}
		switch kind {
		case recordExchange:
			if x, err := readExchange(s.content, s.layouts); err == nil {
				t.exchange(&x)
			}
		case recordRow, recordProbe:
			if c, err := readCollected(kind, s.content); err == nil {
				t.collected(c)
			}
		}
		t.bytes += len(s.content)
		if t.chunk*len(t.columns) > chunkValues || t.bytes > rowGroupBytes {
			if err := t.flush(w); err != nil {
				return 0, err
			}
			s.reuse()
		}
	}
	if err := t.flush(w); err != nil {
		return 0, err
	}
	return int64(t.written), w.Close()
}

// flush hands the chunk to the writer, and ends the row group when it is large
// enough.
func (t *table) flush(w *parquet.GenericWriter[any]) error {
	writers := w.ColumnWriters()
	for i, c := range t.columns {
		for c.always != nil && len(c.values) < t.chunk {
			c.bytes(c.always)
		}
		n, err := writers[i].WriteRowValues(c.values)
		if err == nil && n != t.chunk {
			err = fmt.Errorf("%d rows instead of %d", n, t.chunk)
		}
		if err != nil {
			return fmt.Errorf("write column %s: %w", c.name, err)
		}
		c.values = c.values[:0]
	}
	t.written += t.chunk
	t.chunk = 0
	if t.bytes <= rowGroupBytes {
		return nil
	}
	t.bytes = 0
	return w.Flush()
}

// set gives the row that is being made a value in the column.
func (c *column) set(v parquet.Value) {
	c.values = append(c.values, v.Level(0, 1, c.index))
}

// null says that the row has no value in the column.
func (c *column) null() {
	c.values = append(c.values, parquet.NullValue().Level(0, 0, c.index))
}

// elements gives the row a list; of none it is empty.
func (c *column) elements(list []parquet.Value) {
	if len(list) == 0 {
		c.values = append(c.values, parquet.NullValue().Level(0, 1, c.index))
	}
	for i, v := range list {
		definition := 3
		if v.IsNull() {
			definition = 2
		}
		c.values = append(c.values, v.Level(min(i, 1), definition, c.index))
	}
}

func (c *column) bytes(b []byte) { c.set(parquet.ByteArrayValue(b)) }
func (c *column) int(n int)      { c.set(parquet.Int32Value(int32(n))) }

// text sets a text, or nothing when it is empty.
func (c *column) text(b []byte) {
	if len(b) > 0 {
		c.bytes(b)
	}
}

func (c *column) ms(d time.Duration) { c.set(parquet.DoubleValue(float64(d) / 1e6)) }

// origin notes what all rows of a segment have in common.
func (t *table) origin(h head) {
	t.project.always, t.environment.always, t.model.always, t.version.always = []byte(h.Project), []byte(h.Environment), []byte(h.Model), []byte(h.Version)
	t.deployment.always, t.copy.always = []byte(h.Deployment), []byte(h.Copy)
}
