package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

var origin = Origin{Project: "wine", Environment: "qa", Model: "quality", Version: "3", Deployment: "d-1", Copy: "0"}

func config(t *testing.T) (Config, string) {
	t.Helper()
	store := t.TempDir()
	return Config{Origin: origin, Dir: filepath.Join(t.TempDir(), "log"), Store: Folder(store), Log: slog.New(slog.DiscardHandler), patience: time.Millisecond}, store
}

func open(t *testing.T, c Config) *Journal {
	t.Helper()
	j, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.lock.Close() })
	return j
}

var post, _ = http.NewRequest(http.MethodPost, "/score", nil)

func request(id string) *exchange.Exchange {
	return &exchange.Exchange{Began: time.Now(), Dialect: "azureml", RequestID: id, Status: 200}
}

func floats(values ...float64) (b []byte) {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

func texts(values ...string) (b []byte) {
	for _, v := range values {
		if v == "null" {
			b = binary.LittleEndian.AppendUint32(b, math.MaxUint32)
			continue
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b
}

// rows reads every Parquet file below a folder: a map from columns to values
// for each row, nulls left out, lists as slices.
func rows(t *testing.T, dir string) (all []map[string]any, files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files = append(files, strings.TrimPrefix(path, dir+"/"))
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		r := parquet.NewReader(f)
		defer r.Close()
		columns := r.Schema().Columns()
		buf := make([]parquet.Row, 100)
		for {
			n, err := r.ReadRows(buf)
			for _, row := range buf[:n] {
				m := map[string]any{}
				for _, v := range row {
					path := columns[v.Column()]
					name := path[0]
					if len(path) == 1 {
						if !v.IsNull() {
							m[name] = plain(v)
						}
						continue
					}
					if v.DefinitionLevel() > 0 {
						list, _ := m[name].([]any)
						if list == nil {
							list = []any{}
						}
						if v.DefinitionLevel() > 1 {
							list = append(list, plain(v))
						}
						m[name] = list
					}
				}
				all = append(all, m)
			}
			if errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, files
}

func plain(v parquet.Value) any {
	switch v.Kind() {
	case parquet.Boolean:
		return v.Boolean()
	case parquet.Int32:
		return int(v.Int32())
	case parquet.Int64:
		return int(v.Int64())
	case parquet.Float:
		return float64(v.Float())
	case parquet.Double:
		return v.Double()
	case parquet.ByteArray:
		return string(v.ByteArray())
	}
	return nil
}

func TestJournal_columns(t *testing.T) {
	c, store := config(t)
	j := open(t, c)
	x := request("a")
	x.ClientID, x.TraceID, x.Queued, x.Model, x.Batch, x.Worker = "mine", strings.Repeat("ab", 16), time.Millisecond, 2*time.Millisecond, 7, 42
	x.Input = tensor.Batch{Form: tensor.Table, Rows: 2, Columns: []string{"alcohol", "pH"}, Params: []byte(`{"k":1}`),
		Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{2, 2}, Data: floats(1, 2, 3, math.NaN())}}}
	x.Output = tensor.Batch{Form: tensor.Array, Rows: 2, Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{2}, Data: floats(5, 6)}}}
	j.Observe(x, post)

	y := request("b")
	y.Dialect = "oip"
	y.Input = tensor.Batch{Form: tensor.Named, Rows: 2, Tensors: []tensor.Tensor{
		{Name: "n", Type: tensor.Int32, Shape: []int{2}, Data: []byte{255, 255, 255, 255, 7, 0, 0, 0}},
		{Name: "s", Type: tensor.Text, Shape: []int{2}, Data: texts("é", "null")},
		{Name: "v", Type: tensor.Uint8, Shape: []int{2, 3}, Data: []byte{1, 2, 3, 4, 5, 6}},
		{Name: "w", Type: tensor.Text, Shape: []int{2, 2}, Data: texts("a", "null", "", "b")},
		{Name: "ok", Type: tensor.Bool, Shape: []int{2}, Data: []byte{1, 0}},
		{Name: "at", Type: tensor.Datetime, Shape: []int{2}, Data: binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 1_000_000_007), 1<<63)},
		{Name: "h", Type: tensor.Float16, Shape: []int{2}, Data: []byte{0x00, 0x3e, 0x00, 0x7e}},
		{Name: "big", Type: tensor.Uint64, Shape: []int{2}, Data: binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 9), 10)},
	}}
	y.Output = tensor.Batch{Form: tensor.Table, Rows: 2, Tensors: []tensor.Tensor{{Name: "p", Type: tensor.Float32, Shape: []int{2, 2}, Data: []byte{0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64}}}}
	j.Observe(y, post)

	z := request("c")
	z.Body, z.Answer, z.Status, z.Failure = []byte(`{"data": [1]}`), []byte("\xff\xfe"), 500, &exchange.Failure{Reason: exchange.Raised, Message: "ValueError: x"}
	j.Observe(z, post)

	w := request("d") // the same name, another type
	w.Purpose = ridgeline.PurposeMirror
	w.Input = tensor.Batch{Form: tensor.Named, Rows: 1, Tensors: []tensor.Tensor{{Name: "n", Type: tensor.Float64, Shape: []int{1}, Data: floats(1.5)}}}
	j.Observe(w, post)

	if got := j.Stats(); got.Records != 4 || got.PendingBytes == 0 || got.PendingSince.IsZero() {
		t.Errorf("stats %+v", got)
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, files := rows(t, store)
	if len(files) != 1 || len(all) != 6 {
		t.Fatalf("%d rows in %v", len(all), files)
	}
	if want := "wine/quality/3/" + x.Began.UTC().Format("2006/01/02/15") + "/d-1-0-"; !strings.HasPrefix(files[0], want) && x.Began.Minute() < 59 {
		t.Errorf("file %s, want %s…", files[0], want)
	}
	expect := func(row int, want map[string]any) {
		t.Helper()
		for name, v := range want {
			if got := all[row][name]; fmt.Sprint(got) != fmt.Sprint(v) {
				t.Errorf("row %d, %s: got %v, want %v", row, name, got, v)
			}
		}
	}
	expect(0, map[string]any{"time": x.Began.UnixMicro(), "request_id": "a", "row": 0, "rows": 2, "client_id": "mine", "trace_id": x.TraceID, "project": "wine", "environment": "qa",
		"model": "quality", "version": "3", "deployment": "d-1", "copy": "0", "dialect": "azureml", "status": 200, "error": nil, "queue_ms": 1, "model_ms": 2, "batch": 7, "worker": 42,
		"params": `{"k":1}`, "input_alcohol": 1, "input_pH": 2, "output": 5, "request": nil, "purpose": nil})
	expect(1, map[string]any{"request_id": "a", "row": 1, "params": nil, "input_alcohol": 3, "input_pH": nil, "output": 6})
	expect(2, map[string]any{"input_n": -1, "input_s": "é", "input_v": "[1 2 3]", "input_w": "[a <nil>]", "input_ok": true, "input_at": 1_000_000_007, "input_h": 1.5, "input_big": 9, "output_p": "[1 2]", "output": nil})
	expect(3, map[string]any{"input_n": 7, "input_s": nil, "input_v": "[4 5 6]", "input_w": "[ b]", "input_ok": false, "input_at": nil, "input_h": nil, "output_p": "[3 4]"})
	expect(4, map[string]any{"request_id": "c", "row": 0, "rows": 0, "status": 500, "error": "ValueError: x", "request": `{"data": [1]}`, "response": nil, "response_binary": "\xff\xfe", "input_n": nil})
	expect(5, map[string]any{"input_n": 1.5, "purpose": "mirror"})
	if left, err := segments(c.Dir); err != nil || len(left) != 0 {
		t.Errorf("segments left: %v, %v", left, err)
	}
}

// Many at once, into small segments: each request is in exactly one file.
func TestJournal_concurrent(t *testing.T) {
	c, store := config(t)
	c.MaxBytes = 20_000
	j := open(t, c)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { j.Run(ctx); close(done) }()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				x := request(fmt.Sprintf("%d-%d", g, i))
				x.Body = []byte(strings.Repeat("x", i%100))
				j.Observe(x, post)
			}
		})
	}
	wg.Wait()
	stop()
	<-done
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, files := rows(t, store)
	seen := map[any]bool{}
	for _, row := range all {
		seen[row["request_id"]] = true
	}
	if len(all) != 4000 || len(seen) != 4000 || len(files) < 5 {
		t.Errorf("%d rows of %d requests in %d files, want 4000 of each in several", len(all), len(seen), len(files))
	}
}

// A segment that was cut anywhere gives all records before the cut.
func TestJournal_torn(t *testing.T) {
	c, _ := config(t)
	j := open(t, c)
	var ends []int64
	for i := range 5 {
		x := request(fmt.Sprint(i))
		x.Input = tensor.Batch{Form: tensor.Array, Rows: 1, Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{1, 2}, Data: floats(1, float64(i))}}}
		j.Observe(x, post)
		info, err := j.file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, info.Size())
	}
	list, err := segments(c.Dir)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	whole, err := os.ReadFile(list[0])
	if err != nil {
		t.Fatal(err)
	}
	for cut := range whole {
		want := 0
		for want < len(ends) && ends[want] <= int64(cut) {
			want++
		}
		damaged := append([]byte{}, whole[:cut]...)
		rows, err := Convert(strings.NewReader(string(damaged)), io.Discard)
		if errors.Is(err, errNoSegment) && want == 0 {
			continue
		}
		if err != nil || rows != int64(want) {
			t.Fatalf("cut at %d of %d: %d rows, %v; want %d", cut, len(whole), rows, err, want)
		}
	}
}

type away struct{ Store }

func (away) Put(context.Context, string, *os.File) error { return errors.New("the storage is away") }

func TestJournal_storage_away(t *testing.T) {
	c, store := config(t)
	c.Store, c.Disk, c.MaxBytes = away{}, 100_000, 10_000
	j := open(t, c)
	if _, err := Open(c); ridgeline.CodeOf(err) != ridgeline.Conflict {
		t.Errorf("a second journal in one folder: %v, want Conflict", err)
	}
	for i := range 3000 {
		j.Observe(request(fmt.Sprint(i)), post)
	}
	if err := j.ship(t.Context()); err == nil || !strings.Contains(j.Stats().Problem, "away") {
		t.Errorf("ship: %v, problem %q", err, j.Stats().Problem)
	}
	if err := j.bound(); err != nil {
		t.Fatal(err)
	}
	s := j.Stats()
	if s.PendingBytes > c.Disk || s.PendingBytes < c.Disk/2 || s.Dropped == 0 || s.Records != 3000 {
		t.Errorf("stats %+v, want at most %d bytes pending and some dropped", s, c.Disk)
	}
	if err := j.Close(t.Context()); err == nil {
		t.Error("closed as if the storage had taken it")
	}
	if p, err := Look(c.Dir); err != nil || p.Dropped != s.Dropped || p.Bytes == 0 || p.Since.IsZero() {
		t.Errorf("look: %+v, %v", p, err)
	}

	// The storage is back, and another process takes over.
	c.Store = Folder(store)
	again := open(t, c)
	if got := again.Stats(); got.Dropped != s.Dropped || got.PendingBytes == 0 {
		t.Errorf("after a restart: %+v", got)
	}
	if err := again.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, _ := rows(t, store)
	if int64(len(all)) != 3000-s.Dropped {
		t.Errorf("%d rows, want %d", len(all), 3000-s.Dropped)
	}
	if all[len(all)-1]["request_id"] == nil {
		t.Error("no request id")
	}
}

// A kill between the upload and the removal of the segment repeats the upload:
// under the same name.
func TestAdopt(t *testing.T) {
	c, store := config(t)
	j := open(t, c)
	for i := range 10 {
		j.Observe(request(fmt.Sprint(i)), post)
	}
	if empty, err := Adopt(t.Context(), c.Dir, c.Store); empty || err != nil {
		t.Fatalf("took over from a journal that is open: %v, %v", empty, err)
	}
	list, err := segments(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(list[0])
	if err != nil {
		t.Fatal(err)
	}
	j.lock.Close() // as a kill does
	for range 2 {
		if empty, err := Adopt(t.Context(), c.Dir, c.Store); !empty || err != nil {
			t.Fatal(empty, err)
		}
		if err := os.WriteFile(list[0], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, files := rows(t, store)
	if len(all) != 10 || len(files) != 1 {
		t.Errorf("%d rows in %d files, want 10 in one", len(all), len(files))
	}
}

func TestJournal_sample(t *testing.T) {
	c, store := config(t)
	c.Sample, c.NoPayloads = 0.25, true
	j := open(t, c)
	for i := range 4000 {
		x := request(fmt.Sprintf("request-%d", i))
		x.Body = []byte("secret")
		j.Observe(x, post)
	}
	if n := j.Stats().Records; n < 900 || n > 1100 {
		t.Errorf("%d of 4000 kept, want about 1000", n)
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, _ := rows(t, store)
	if all[0]["request"] != nil {
		t.Errorf("a payload is kept: %v", all[0])
	}
	for _, row := range all {
		if !sampled(row["request_id"].(string), 0.25) {
			t.Fatalf("%v is not in the sample", row["request_id"])
		}
	}
}

func TestJournal_large(t *testing.T) {
	c, store := config(t)
	j := open(t, c)
	x := request("large")
	x.Body, x.Answer = make([]byte, maxPayload+1), []byte("small")
	j.Observe(x, post)
	for i := range maxLayouts + 10 {
		x := request(fmt.Sprint(i))
		x.Input = tensor.Batch{Form: tensor.Named, Rows: 1, Tensors: []tensor.Tensor{{Name: fmt.Sprint("c", i), Type: tensor.Bool, Shape: []int{1}, Data: []byte{1}}}}
		j.Observe(x, post)
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, _ := rows(t, store)
	if all[0]["omitted"] != fmt.Sprintf("input of %d bytes", maxPayload+1) || all[0]["response"] != "small" {
		t.Errorf("large: %v", all[0])
	}
	if last := all[len(all)-1]; len(all) != maxLayouts+11 || last["omitted"] != "input of 1 bytes" {
		t.Errorf("%d rows, the last %v", len(all), last)
	}
}

func TestRedaction(t *testing.T) {
	r := newRedaction([]string{"name", "person.age", "ssn"})
	for in, want := range map[string]string{
		`{"data":[{"name":"x","age":1}]}`:                                    `{"data":[{"age":1,"name":null}]}`,
		`{"person":[{"age":1,"sex":2}],"age":3}`:                             `{"age":3,"person":[{"age":null,"sex":2}]}`,
		`{"columns":["a","ssn"],"data":[[1,2],[3,4]]}`:                       `{"columns":["a","ssn"],"data":[[1,null],[3,null]]}`,
		`{"inputs":[{"name":"ssn","data":["1"]},{"name":"b","data":["1"]}]}`: `{"inputs":[{"data":null,"name":null},{"data":["1"],"name":null}]}`,
		`12345678901234567890`:                                               `12345678901234567890`,
		`not JSON`:                                                           `"[redacted: the body is no JSON]"`,
		`{"a":1} {"ssn":2}`:                                                  `"[redacted: the body is no JSON]"`,
	} {
		if got := string(r.body([]byte(in))); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	b := r.batch(tensor.Batch{Form: tensor.Table, Rows: 2, Columns: []string{"a", "ssn", "b"}, Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{2, 3}, Data: floats(1, 2, 3, 4, 5, 6)}}})
	if fmt.Sprint(b.Columns) != "[a b]" || string(b.Tensors[0].Data) != string(floats(1, 3, 4, 6)) || fmt.Sprint(b.Tensors[0].Shape) != "[2 2]" {
		t.Errorf("got %+v", b)
	}
	b = r.batch(tensor.Batch{Form: tensor.Named, Rows: 1, Tensors: []tensor.Tensor{{Name: "ssn"}, {Name: "c"}}})
	if len(b.Tensors) != 1 || b.Tensors[0].Name != "c" {
		t.Errorf("got %+v", b)
	}
}

func FuzzConvert(f *testing.F) {
	dir := f.TempDir()
	j, err := Open(Config{Origin: origin, Dir: dir, Store: away{}})
	if err != nil {
		f.Fatal(err)
	}
	x := request("a")
	x.Input = tensor.Batch{Form: tensor.Array, Rows: 1, Tensors: []tensor.Tensor{{Type: tensor.Text, Shape: []int{1, 2}, Data: texts("a", "b")}}}
	x.Answer = []byte("1")
	j.Observe(x, post)
	list, _ := segments(dir)
	whole, err := os.ReadFile(list[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole[recordPrefix:], 0)
	f.Fuzz(func(t *testing.T, content []byte, kind int) {
		// Records with a right checksum and any content behind a right head.
		b, err := appendJSON(nil, recordHead, head{Origin: origin, Began: time.Unix(0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		b, _ = appendJSON(b, recordLayout, layout{Tensors: []field{{Name: "a", Type: tensor.Float64}, {Name: "b", Type: tensor.Text, Shape: []int{2}}}})
		from := len(b)
		b = append(begin(b, []byte{recordExchange, recordRow, recordLayout, recordProbe}[uint(kind)%4]), content...)
		seal(b, from)
		_, _ = Convert(strings.NewReader(string(b)), io.Discard)
	})
}

func BenchmarkObserve(b *testing.B) {
	j, err := Open(Config{Origin: origin, Dir: b.TempDir(), Store: Folder(b.TempDir())})
	if err != nil {
		b.Fatal(err)
	}
	x := request("0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0")
	x.Input = tensor.Batch{Form: tensor.Array, Rows: 1, Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{1, 10}, Data: floats(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)}}}
	x.Output = tensor.Batch{Form: tensor.Array, Rows: 1, Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{1}, Data: floats(5)}}}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			j.Observe(x, post)
		}
	})
}

func BenchmarkConvert(b *testing.B) {
	dir := b.TempDir()
	j, err := Open(Config{Origin: origin, Dir: dir, Store: Folder(b.TempDir())})
	if err != nil {
		b.Fatal(err)
	}
	x := request("0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0")
	x.Input = tensor.Batch{Form: tensor.Table, Rows: 1, Columns: strings.Split("abcdefghij", ""), Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{1, 10}, Data: floats(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)}}}
	x.Output = tensor.Batch{Form: tensor.Array, Rows: 1, Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{1}, Data: floats(5)}}}
	const n = 50_000
	for range n {
		j.Observe(x, post)
	}
	list, _ := segments(dir)
	b.ReportAllocs()
	for b.Loop() {
		f, err := os.Open(list[0])
		if err != nil {
			b.Fatal(err)
		}
		if rows, err := Convert(f, io.Discard); err != nil || rows != n {
			b.Fatal(rows, err)
		}
		f.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n*b.N), "µs/row")
}
