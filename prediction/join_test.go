package prediction_test

import (
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/prediction"
	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/journal"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// hour is that of the files: long over, whenever the test runs.
const hour = "wine/quality/1/2026/03/01/10/"

// written has so many scorers answer three requests of two rows each, and bring
// them to the files of that hour.
func (f *fixture) written(scorers int) {
	f.t.Helper()
	for n := range scorers {
		j := f.scorer("wine", "1", fmt.Sprintf("d-%d", n))
		for k := range 3 {
			score(j, fmt.Sprintf("r-%d-%d", n, k), 200, float64(n), float64(k))
		}
		rich(j, fmt.Sprintf("rich-%d", n), byte(n), false)
		if err := j.Close(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
	}
	list, err := f.Files.List(f.t.Context(), "wine")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, o := range list {
		err := f.Files.Put(f.t.Context(), hour+path.Base(o.Name), strings.NewReader(f.text(o.Name)))
		if err := errors.Join(err, f.Files.Remove(f.t.Context(), o.Name)); err != nil {
			f.t.Fatal(err)
		}
	}
}

// rich notes a request with a value of each type that a file can have; times,
// which are in nanoseconds, if fine.
func rich(j *journal.Journal, id string, n byte, fine bool) {
	word := func(text string) []byte { return append([]byte{byte(len(text)), 0, 0, 0}, text...) }
	x := exchange.Exchange{Began: time.Now(), RequestID: id, Dialect: "oip", Status: 200, Input: tensor.Batch{Form: tensor.Named, Rows: 1}}
	for _, t := range tensor.Types() {
		data := make([]byte, t.Size())
		switch {
		case t == tensor.JSON:
			data = word(fmt.Sprintf(`{"a":%d}`, n))
		case t.Framed():
			data = word("text")
		case t == tensor.Bool:
			data[0] = n % 2
		case t == tensor.Datetime && !fine:
			continue
		default:
			data[0] = n
		}
		x.Input.Tensors = append(x.Input.Tensors, tensor.Tensor{Name: strings.ToLower(t.String()), Type: t, Shape: []int{1}, Data: data})
	}
	two := []byte{n, 0, 0, 0, 7, 0, 0, 0}
	x.Output = tensor.Batch{Form: tensor.Named, Rows: 1, Tensors: []tensor.Tensor{{Name: "list", Type: tensor.Int32, Shape: []int{1, 2}, Data: two}}}
	j.Observe(&x, post)
}

// all is every row as text, in order, and the columns with their types.
func (f *fixture) all() (rows []string, columns string) {
	f.t.Helper()
	for _, r := range f.ask(prediction.Query{SQL: "SELECT * FROM entries ORDER BY ALL"}).Rows {
		rows = append(rows, fmt.Sprint(r...))
	}
	return rows, fmt.Sprint(f.ask(prediction.Query{SQL: "SELECT column_name, column_type FROM (DESCRIBE entries) ORDER BY ALL"}).Rows)
}

func (f *fixture) names() (names []string) {
	f.t.Helper()
	list, err := f.Files.List(f.t.Context(), "wine")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, o := range list {
		names = append(names, path.Base(o.Name))
	}
	return names
}

func (f *fixture) join(after time.Duration) {
	f.t.Helper()
	if err := f.Join(f.t.Context(), time.Now().Add(after)); err != nil {
		f.t.Fatal(err)
	}
}

func joined(name string) bool { return strings.HasPrefix(name, "joined-") }

// Whatever is there while files are brought together, every row is read once.
func TestLog_Join(t *testing.T) {
	f := newFixture(t, "")
	f.written(6)
	want, types := f.all()
	before := f.names()
	if len(want) != 42 || len(before) != 6 {
		t.Fatalf("%d rows in %v", len(want), before)
	}
	same := func(when string) {
		t.Helper()
		if got, now := f.all(); !slices.Equal(got, want) || now != types {
			t.Errorf("%s: %d rows of %v\n%v\nof %d rows of %v", when, len(got), f.names(), now, len(want), types)
		}
	}
	if err := f.Join(t.Context(), time.Date(2026, 3, 1, 11, 20, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	if now := f.names(); !slices.Equal(now, before) {
		t.Errorf("an hour that is only just over was joined: %v", now)
	}
	f.join(0)
	names := f.names()
	if len(names) != 8 || !joined(names[6]) || !joined(names[7]) {
		t.Fatalf("after joining there are %v", names)
	}
	same("joined, and nothing removed")
	f.join(time.Minute) // whoever found them is still reading
	if now := f.names(); !slices.Equal(now, names) {
		t.Errorf("too soon there are %v", now)
	}
	f.join(time.Hour)
	if now := f.names(); len(now) != 2 || !joined(now[0]) || !joined(now[1]) {
		t.Errorf("in the end there are %v", now)
	}
	same("in the end")
	if share, _, err := journal.Describe(filepath.Join(f.Files.Dir(), hour, names[7])); err != nil || share != "1" {
		t.Errorf("it holds a share of %q, %v", share, err)
	}
	f.join(2 * time.Hour)
	same("joined once more")
}

// A crash between any two steps, and a scorer that brings a file again, change
// nothing.
func TestLog_Join_broken_off(t *testing.T) {
	f := newFixture(t, "")
	f.written(5)
	want, _ := f.all()
	list, err := f.Files.List(t.Context(), "wine")
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]string{} // what was there at first
	for _, o := range list {
		kept[o.Name] = f.text(o.Name)
	}
	f.join(0)
	list, err = f.Files.List(t.Context(), "wine")
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(list, func(o blob.Object) bool { return strings.HasSuffix(o.Name, ".json") })
	made := list[at].Name
	text := f.text(made)
	same := func(when string) {
		t.Helper()
		if got, _ := f.all(); !slices.Equal(got, want) {
			t.Errorf("%s: %d rows instead of %d, of %v", when, len(got), len(want), f.names())
		}
	}
	if err := f.Files.Remove(t.Context(), made); err != nil { // it died before it wrote the list
		t.Fatal(err)
	}
	same("without its list")
	f.join(0)
	if again := f.text(made); again != text {
		t.Errorf("the next time: %s instead of %s", again, text)
	}
	f.join(time.Hour)
	for name, content := range kept {
		if err := f.Files.Put(t.Context(), name, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		same("brought again")
	}
	f.join(time.Hour)
	if now := f.names(); len(now) != 2 {
		t.Errorf("in the end there are %v", now)
	}
	same("in the end")
}

// text is a file's content.
func (f *fixture) text(name string) string {
	f.t.Helper()
	r, err := f.Files.Get(f.t.Context(), name)
	if err != nil {
		f.t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

// What would lose something is left as it is: here the nanoseconds of times.
func TestLog_Join_leaves_nanoseconds(t *testing.T) {
	f := newFixture(t, "")
	for n := range 5 {
		j := f.scorer("wine", "1", fmt.Sprintf("d-%d", n))
		rich(j, "r", byte(n), true)
		if err := j.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.written(0)
	before := f.names()
	f.join(0)
	if now := f.names(); len(before) != 5 || !slices.Equal(now, before) {
		t.Errorf("of %v there are %v", before, now)
	}
}
