package data_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/data"
)

func open(t testing.TB) *data.DB {
	t.Helper()
	db, err := data.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// diabetes is a file of the shape of scikit-learn's diabetes data.
func diabetes(rows int) string {
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString("age,sex,bmi,bp,s1,s2,s3,s4,s5,s6,progression\n")
	for range rows {
		fmt.Fprintf(&b, "%d,%d,%.1f,%.1f,%d,%.1f,%.1f,%.2f,%.4f,%d,%d\n", 19+r.IntN(60), 1+r.IntN(2), 26.4+4.4*r.NormFloat64(), 94+13*r.NormFloat64(),
			97+r.IntN(200), 115+30*r.NormFloat64(), 50+12*r.NormFloat64(), 4+r.Float64(), 4.6+r.NormFloat64()/2, 58+r.IntN(60), 25+r.IntN(320))
	}
	return b.String()
}

// refused wants a classified error with every part in its message.
func refused(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if code := ridgeline.CodeOf(err); code != ridgeline.Invalid {
		t.Errorf("code %s, want invalid: %v", code, err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error lacks %q: %v", p, err)
		}
	}
}

func types(columns []ridgeline.Column) string {
	var list []string
	for _, c := range columns {
		list = append(list, c.Name+" "+c.Type)
	}
	return strings.Join(list, ", ")
}

func TestDescribe_types(t *testing.T) {
	db := open(t)
	for _, test := range []struct{ name, file, content, want string }{
		{"each type", "a.csv", "b,i,d,day,at,s\ntrue,1,1.5,2026-01-31,2026-01-31 10:00:00,x\nFalse,-2,1e3,2026-02-01,2026-02-01T11:00:00,1\n",
			"b BOOLEAN, i BIGINT, d DOUBLE, day DATE, at TIMESTAMP, s VARCHAR"},
		{"missing values have no type", "a.csv", "a,b\n1,NaN\n,\nNA,null\n2.5,\n", "a DOUBLE, b VARCHAR"},
		{"no surprising casts", "a.csv", "a,b,c,d\n1_000,0x10,1,epoch\n1,1,true,2026-01-01\n", "a VARCHAR, b VARCHAR, c VARCHAR, d VARCHAR"},
		{"byte order mark and CRLF", "a.csv", "\xef\xbb\xbfa,b\r\n1,\"x\r\ny\"\r\n\r\n2,z\r\n", "a BIGINT, b VARCHAR"},
		{"semicolons", "a.csv", "a;b;c\n1;2,5;x\n2;3,5;y\n", "a BIGINT, b VARCHAR, c VARCHAR"},
		{"tabs", "a.tsv", "a\tb,c\n1\t2\n", "a BIGINT, b,c BIGINT"},
		{"one column with a blank line", "a.csv", "a\n1\n\nNA\n", "a BIGINT"},
		{"unicode and hostile names", "a.csv", "größe,\"x'; DROP TABLE t; --\",\"a\"\"b\",A,a\n1,2,3,4,5\n", "größe BIGINT, x'; DROP TABLE t; -- BIGINT, a\"b BIGINT, A BIGINT, a BIGINT"},
		{"JSON lines", "a.jsonl", "{\"a\":1,\"b\":\"x\"}\n{\"b\":\"y\",\"a\":2.5}\n", "a DOUBLE, b VARCHAR"},
		{"a hostile path", "x[1]*'; --?.csv", "a,b\n1,2\n", "a BIGINT, b BIGINT"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := db.Describe(t.Context(), write(t, test.file, test.content))
			if err != nil {
				t.Fatal(err)
			}
			if got := types(d.Columns); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if d.Size != int64(len(test.content)) || len(d.Digest) != 64 {
				t.Errorf("size %d, digest %q", d.Size, d.Digest)
			}
		})
	}
}

// A value that does not fit, far beyond any sample, still decides the type.
func TestDescribe_reads_to_the_end(t *testing.T) {
	db := open(t)
	path := write(t, "a.csv", "a,b\n"+strings.Repeat("1,\n", 50_000)+"1.5,x\n")
	d, err := db.Describe(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if got := types(d.Columns); got != "a DOUBLE, b VARCHAR" || d.Rows != 50_001 {
		t.Errorf("%s, %d rows", got, d.Rows)
	}
}

func TestBad_input(t *testing.T) {
	db := open(t)
	parquet := toParquet(t, db, write(t, "a.csv", diabetes(50)))
	half := read(t, parquet)[:2000]
	for _, test := range []struct {
		name, file, content string
		want                []string
	}{
		{"empty file", "a.csv", "", []string{"a.csv is empty", "header line"}},
		{"blank file", "a.csv", "\n\n", []string{"a.csv is empty"}},
		{"header only", "a.csv", "age,bmi\n", []string{"columns (age, bmi) but no rows"}},
		{"short row", "a.csv", "a,b,c\n1,2,3\n4,5\n", []string{"a.csv:3", "2 fields where the header has 3"}},
		{"long row", "a.csv", "a,b\n1,2\n\"x\ny\",2\n1,2,3\n", []string{"a.csv:5", "3 fields where the header has 2"}},
		{"short row far down", "a.csv", "a,b\n" + strings.Repeat("1,2\n", 100_000) + "3\n", []string{"a.csv:100002", "1 field where"}},
		{"open quote", "a.csv", "a,b\n1,2\n3,\"4\n5,6\n", []string{"a.csv:3", "not closed"}},
		{"text after quote", "a.csv", "a,b\n1,\"2\"x\n", []string{"a.csv:2", "closing quote"}},
		{"doubled name", "a.csv", "a,b,a\n1,2,3\n", []string{"a.csv:1", "columns 1 and 3", `"a"`}},
		{"nameless column", "a.csv", ",a\n0,1\n", []string{"column 1 has no name", "index=False"}},
		{"Latin-1", "a.csv", "a,b\n1,x\n2,caf\xe9\n", []string{"a.csv:3", "not UTF-8"}},
		{"Latin-1 header", "a.csv", "a,gr\xf6\xdfe\n1,x\n", []string{"column 2 is not UTF-8"}},
		{"UTF-16", "a.csv", "\xff\xfea\x00", []string{"UTF-16"}},
		{"mixed line ends", "a.csv", "a,b\n1,2\r\n3,4\n", []string{"a.csv:2", "mixed"}},
		{"old Mac line ends", "a.csv", "a,b\r1,2\r", []string{"carriage return"}},
		{"zero bytes", "a.csv", "a,b\n1,\x002\n", []string{"zero bytes"}},
		{"Parquet called CSV", "a.csv", "PAR1xxxx", []string{"is a Parquet file"}},
		{"CSV called Parquet", "a.parquet", "a,b\n1,2\n", []string{"does not start as Parquet does"}},
		{"half a Parquet file", "a.parquet", half, []string{"a.parquet is not a whole Parquet file", "2000 bytes"}},
		{"unknown extension", "a.xlsx", "x", []string{"a.xlsx", ".csv", "rename or convert"}},
		{"broken JSON line", "a.jsonl", "{\"a\":1}\n{\"a\":\n", []string{"a.jsonl:2", "one JSON object"}},
		{"JSON array", "a.json", "[{\"a\":1}]", []string{"one JSON array", "lines=True"}},
		{"JSON scalars", "a.jsonl", "1\n2\n", []string{"a.jsonl:1", "one JSON object a line"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, test.file, test.content)
			_, err := db.Describe(t.Context(), path)
			refused(t, err, test.want...)
			if len(err.Error()) > 400 || strings.Contains(err.Error(), "\n") {
				t.Errorf("not one short line: %v", err)
			}
		})
	}
	t.Run("nothing there", func(t *testing.T) {
		_, err := db.Describe(t.Context(), filepath.Join(t.TempDir(), "none.csv"))
		if ridgeline.CodeOf(err) != ridgeline.NotFound {
			t.Errorf("got %v", err)
		}
	})
	t.Run("mixed line ends far down", func(t *testing.T) {
		// Either DuckDB reads it as it is meant or it is refused: never a row lost.
		path := write(t, "a.csv", "a,b\n"+strings.Repeat("1,2\n", 300_000)+"3,4\r\n"+strings.Repeat("1,2\n", 10))
		d, err := db.Describe(t.Context(), path)
		if err != nil {
			refused(t, err, "a.csv:300002", "mixed")
		} else if d.Rows != 300_011 || types(d.Columns) != "a BIGINT, b BIGINT" {
			t.Errorf("%d rows of %s", d.Rows, types(d.Columns))
		}
	})
}

func TestFolder(t *testing.T) {
	db := open(t)
	dir := t.TempDir()
	put := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("b.csv", "a,b\n3,4\n")
	put("a.csv", "a,b\n1,2") // no line end
	put("_SUCCESS", "")
	d, err := db.Describe(t.Context(), dir)
	if err != nil || d.Rows != 2 {
		t.Fatal(d, err)
	}
	table, err := db.Read(t.Context(), dir, 0)
	if err != nil || fmt.Sprint(table.Rows) != "[[1 2] [3 4]]" {
		t.Fatal(table.Rows, err)
	}
	put("c.csv", "b,a\n3,4\n")
	_, err = db.Describe(t.Context(), dir)
	refused(t, err, "column 1", "c.csv", "same order")
	put("c.csv", "a\n3\n")
	_, err = db.Describe(t.Context(), dir)
	refused(t, err, "c.csv has no column \"b\"")
	put("c.csv", "a,b\n3,4\n")
	put("d.jsonl", "{}")
	_, err = db.Describe(t.Context(), dir)
	refused(t, err, "mixes CSV (a.csv) and JSON lines (d.jsonl)")
	_, err = db.Describe(t.Context(), t.TempDir())
	refused(t, err, "no data files")
}

func TestDigest(t *testing.T) {
	file := write(t, "a.csv", "abc")
	digest, size, err := data.Digest(file)
	if err != nil || size != 3 || digest != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Fatal(digest, size, err)
	}
	make := func(files map[string]string) string {
		dir := t.TempDir()
		for name, content := range files {
			_ = os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		digest, _, err := data.Digest(dir)
		if err != nil {
			t.Fatal(err)
		}
		return digest
	}
	base := make(map[string]string{"a": "12", "b/c": "3"})
	if base != make(map[string]string{"b/c": "3", "a": "12"}) {
		t.Error("the same folder has two digests")
	}
	for _, other := range []map[string]string{{"a": "1", "b/c": "23"}, {"a": "12", "b/d": "3"}, {"a": "12"}, {"a": "12", "b/c": "3", "d": ""}} {
		if base == make(other) {
			t.Errorf("%v has the digest of another folder", other)
		}
	}
}

// The root of many files is that of RFC 9162's other way to it (2.1.2): a stack
// onto which leaves go one by one, and which closes a node for each bit that the
// count of leaves turns.
func TestManifestDigest_is_a_merkle_root(t *testing.T) {
	var m ridgeline.DatasetManifest
	var stack [][]byte
	hash := func(parts ...[]byte) []byte {
		sum := sha256.Sum256(bytes.Join(parts, nil))
		return sum[:]
	}
	for n := range 11 {
		content := hash([]byte{byte(n)})
		f := ridgeline.DatasetFile{Name: fmt.Sprintf("part-%02d.csv", n), Size: int64(n), Digest: hex.EncodeToString(content)}
		m.Files = append(m.Files, f)
		stack = append(stack, hash([]byte{0}, fmt.Appendf(nil, "%s\x00%d\x00", f.Name, f.Size), content))
		for bits := n; bits&1 == 1; bits >>= 1 {
			last := len(stack) - 1
			stack = append(stack[:last-1], hash([]byte{1}, stack[last-1], stack[last]))
		}
		root := stack[len(stack)-1]
		for i := len(stack) - 2; i >= 0; i-- {
			root = hash([]byte{1}, stack[i], root)
		}
		if digest, size := data.ManifestDigest(m); digest != hex.EncodeToString(root) || size != int64(n*(n+1)/2) {
			t.Errorf("%d files: %s of %d bytes, want %x", n+1, digest, size, root)
		}
	}
}

func TestRead(t *testing.T) {
	db := open(t)
	path := write(t, "a.csv", "a,b,c,d,e\n1,true,1,x,2026-01-31\n,,2.5,\"p,\n\"\"q\",NA\n3,False,nan,z,2026-02-01\n")
	table, err := db.Read(t.Context(), path, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]any{{int64(1), true, 1.0, "x", "2026-01-31"}, {nil, nil, 2.5, "p,\n\"q", nil}}
	if fmt.Sprintf("%#v", table.Rows) != fmt.Sprintf("%#v", want) {
		t.Errorf("got %#v", table.Rows)
	}
	if got := types(table.Columns); got != "a BIGINT, b BOOLEAN, c DOUBLE, d VARCHAR, e DATE" {
		t.Error(got)
	}
	parquet := toParquet(t, db, write(t, "b.csv", diabetes(30)))
	table, err = db.Read(t.Context(), parquet, 0)
	if err != nil || len(table.Rows) != 30 {
		t.Fatal(len(table.Rows), err)
	}
	if _, ok := table.Rows[0][0].(int64); !ok {
		t.Errorf("age is %T", table.Rows[0][0])
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Read(ctx, path, 0); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}
