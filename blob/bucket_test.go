package blob

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/cloudtest"
)

// bucketStore opens a store in a bucket, with a cache of its own.
func bucketStore(t testing.TB, address string, limit int64) *Store {
	t.Helper()
	s, err := OpenBucket(t.Context(), address, filepath.Join(t.TempDir(), "cache"), limit)
	ok(t, err)
	t.Cleanup(func() { ok(t, s.Close()) })
	return s
}

// clouds runs a test on an S3 server and on Azurite.
func clouds(t *testing.T, test func(t *testing.T, address func(string) string)) {
	cloudtest.Use(t)
	t.Run("s3", func(t *testing.T) { test(t, cloudtest.S3(t).Address) })
	t.Run("azure", func(t *testing.T) { test(t, cloudtest.Azure(t).Address) })
}

func TestBucket(t *testing.T) {
	clouds(t, func(t *testing.T, address func(string) string) {
		ctx := t.Context()
		one, two := bucketStore(t, address("team/one"), 1<<30), bucketStore(t, address("team/one"), 1<<30)
		other := bucketStore(t, address("team/other"), 1<<30)

		t.Run("what_one_has_put_the_other_reads", func(t *testing.T) {
			for _, content := range [][]byte{nil, []byte("hello"), noise(12<<20, 7)} { // the last one in parts
				for range 2 {
					digest, _, err := one.Put(ctx, iotest.HalfReader(bytes.NewReader(content)))
					ok(t, err)
					for range 2 { // the second time from the cache
						r, err := two.Get(ctx, digest)
						if got := read(t, r, err); !bytes.Equal(got, content) {
							t.Fatalf("%d bytes came back as %d others", len(content), len(got))
						}
					}
					part, err := two.Seek(ctx, digest)
					ok(t, err)
					_, err = part.Seek(int64(len(content)/2), io.SeekStart)
					ok(t, err)
					if got := read(t, part, nil); !bytes.Equal(got, content[len(content)/2:]) {
						t.Fatal("the second half is another one")
					}
					if size, err := two.Size(ctx, digest); err != nil || size != int64(len(content)) {
						t.Fatalf("%d bytes, %v", size, err)
					}
				}
			}
			if there, err := other.Has(ctx, sum([]byte("hello"))); there || err != nil {
				t.Fatalf("under another prefix: %t, %v", there, err)
			}
			_, err := two.Get(ctx, sum([]byte("never")))
			refused(t, err, ridgeline.NotFound, "no blob")
		})
		t.Run("trees", func(t *testing.T) {
			dir := t.TempDir()
			sample(t, dir, 0)
			digest, _, err := one.PutTree(ctx, dir)
			ok(t, err)
			ok(t, two.GetTree(ctx, digest, filepath.Join(dir, "again", "tree")))
			if _, err := two.Files(ctx, digest); err != nil {
				t.Fatal(err)
			}
		})
		t.Run("logs", func(t *testing.T) {
			ok(t, one.Logs().Append(ctx, "task", 0, []byte("first ")))
			ok(t, one.Logs().Append(ctx, "task", 6, []byte("second")))
			if size, err := two.Logs().Size(ctx, "task"); size != 12 || err != nil {
				t.Fatalf("%d bytes, %v", size, err)
			}
			r, err := two.Logs().Open(ctx, "task", 3)
			if got := read(t, r, err); string(got) != "st second" {
				t.Fatalf("%q", got)
			}
			ok(t, two.Logs().Remove(ctx, "task"))
			if size, err := one.Logs().Size(ctx, "task"); size != 0 || err != nil {
				t.Fatalf("%d bytes, %v", size, err)
			}
		})
		t.Run("uploads_in_parts", func(t *testing.T) {
			id, err := one.Uploads().Begin(ctx, "a model")
			ok(t, err)
			ok(t, two.Uploads().PutPart(ctx, id, 2, strings.NewReader("world")))
			if err := two.Uploads().PutPart(ctx, id, 1, iotest.ErrReader(io.ErrUnexpectedEOF)); err == nil {
				t.Fatal("half a part was taken")
			}
			_, _, err = one.Uploads().Join(ctx, id, 2)
			refused(t, err, ridgeline.Invalid, "part 1 is not among them")
			ok(t, one.Uploads().PutPart(ctx, id, 1, strings.NewReader("hello ")))
			digest, _, err := one.Uploads().Join(ctx, id, 2)
			ok(t, err)
			if digest != sum([]byte("hello world")) {
				t.Fatal(digest)
			}
			ok(t, two.Uploads().Remove(ctx, id))
		})
		t.Run("claim", func(t *testing.T) {
			ok(t, one.Claim(ctx, "us"))
			ok(t, two.Claim(ctx, "us"))
			refused(t, two.Claim(ctx, "them"), ridgeline.Conflict, "another secret")
			ok(t, other.Claim(ctx, "them"))
		})
		t.Run("reclaim", func(t *testing.T) { reclaims(t, one, two) })
	})
}

// reclaims: what nobody used goes, what somebody asked for stays.
func reclaims(t *testing.T, one, two *Store) {
	ctx, digest := t.Context(), sum([]byte("hello"))
	listed := func() (found time.Time) {
		ok(t, two.EachContent(ctx, func(c Content) error {
			if c.Digest == digest {
				found = c.Used
			}
			return nil
		}))
		return found
	}
	put := listed()
	if put.IsZero() {
		t.Fatal("the content is not listed")
	}
	if gone, err := two.Reclaim(ctx, digest, put); gone || err != nil {
		t.Fatalf("used at that very time: %t, %v", gone, err)
	}
	ok(t, one.bucket.WriteAll(ctx, usedMark+digest, nil)) // as wantedMarked does half an hour later
	used := listed()
	if used.Before(put) {
		t.Fatalf("put at %s, used at %s", put, used)
	}
	later := time.Now().Add(time.Hour)
	ok(t, one.bucket.WriteAll(ctx, reclaimingMark+digest, nil))
	if gone, err := two.Reclaim(ctx, digest, later); gone || err != nil {
		t.Fatalf("while another one decides: %t, %v", gone, err)
	}
	ok(t, one.unmark(ctx, reclaimingMark+digest))
	if gone, err := two.Reclaim(ctx, digest, later); !gone || err != nil {
		t.Fatalf("not used: %t, %v", gone, err)
	}
	if there, err := one.Has(ctx, digest); there || err != nil {
		t.Fatalf("after it was reclaimed: %t, %v", there, err)
	}
	if gone, err := one.Reclaim(ctx, digest, later); gone || err != nil {
		t.Fatalf("absent: %t, %v", gone, err)
	}
	for _, mark := range []string{usedMark, reclaimingMark} {
		if a, err := one.look(ctx, mark+digest); a != nil || err != nil {
			t.Errorf("%s is left: %v", mark, err)
		}
	}
	_, _, err := one.Put(ctx, strings.NewReader("hello")) // anew, from a server that has it in its cache
	ok(t, err)
	if there, err := two.Has(ctx, digest); !there || err != nil {
		t.Fatalf("put anew: %t, %v", there, err)
	}
}

func TestBucket_cache(t *testing.T) {
	cloudtest.Use(t)
	address := cloudtest.S3(t).Address("c")
	s := bucketStore(t, address, 5<<20)
	ctx := t.Context()
	size := func() (n int64) {
		files, err := s.cache.files()
		ok(t, err)
		for _, f := range files {
			n += f.Size()
		}
		return n
	}
	var digests []string
	for seed := range byte(8) {
		digest, _, err := s.Put(ctx, bytes.NewReader(noise(1<<20, seed)))
		ok(t, err)
		digests = append(digests, digest)
		if size() > 5<<20 {
			t.Fatalf("%d bytes in a cache of %d", size(), 5<<20)
		}
	}
	if s.cache.open(digests[7]) == nil || s.cache.open(digests[0]) != nil {
		t.Error("the oldest content should be forgotten, and the newest be there")
	}
	if _, _, err := s.Put(ctx, bytes.NewReader(noise(4<<20, 9))); err != nil || s.cache.open(digests[7]) == nil {
		t.Errorf("a content larger than half of it drives others out (%v)", err)
	}
	for _, digest := range digests {
		r, err := s.Get(ctx, digest)
		read(t, r, err)
	}

	// A copy that is damaged is not served, and the content is read anew.
	ok(t, os.WriteFile(s.cache.path(digests[7]), noise(1<<20, 99), 0o600))
	r, err := s.Get(ctx, digests[7])
	ok(t, err)
	_, err = io.ReadAll(r)
	refused(t, err, ridgeline.Unavailable, "try again")
	ok(t, r.Close())
	r, err = s.Get(ctx, digests[7])
	read(t, r, err)
	ok(t, s.Verify(ctx, digests[7]))

	// What is read in part, or broken off, is no copy.
	s.cache.drop(digests[7])
	r, err = s.Get(ctx, digests[7])
	ok(t, err)
	_, err = io.CopyN(io.Discard, r, 1<<10)
	ok(t, err)
	ok(t, r.Close())
	if s.cache.open(digests[7]) != nil {
		t.Error("half a content is in the cache")
	}
	if left, err := os.ReadDir(s.spool); err != nil || len(left) != 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}

// faulty stands between a store and its bucket, and is away at times.
type faulty struct {
	away   atomic.Bool
	cut    atomic.Int64 // answers that end after that many bytes, as long as it is positive
	server *http.Server
}

func newFaulty(t *testing.T, address string) (*faulty, string) {
	t.Helper()
	u, err := url.Parse(address)
	ok(t, err)
	q := u.Query()
	target, err := url.Parse(q.Get("endpoint"))
	ok(t, err)
	f := &faulty{}
	proxy := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ErrorLog: log.New(io.Discard, "", 0),
		ModifyResponse: func(r *http.Response) error {
			if n := f.cut.Swap(0); n > 0 {
				r.Body = struct {
					io.Reader
					io.Closer
				}{io.MultiReader(io.LimitReader(r.Body, n), iotest.ErrReader(io.ErrUnexpectedEOF)), r.Body}
			}
			return nil
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	f.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.away.Load() {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = f.server.Serve(l) }()
	t.Cleanup(func() { _ = f.server.Close() })
	q.Set("endpoint", "http://"+l.Addr().String())
	u.RawQuery = q.Encode()
	return f, u.String()
}

// TestBucket_away: while the bucket is away calls end in words that help, what
// was acknowledged is there afterwards, and a broken connection is taken up.
func TestBucket_away(t *testing.T) {
	cloudtest.Use(t)
	f, address := newFaulty(t, cloudtest.S3(t).Address("c"))
	s, ctx := bucketStore(t, address, 0), t.Context()
	content := noise(6<<20, 3)
	digest, _, err := s.Put(ctx, bytes.NewReader(content))
	ok(t, err)

	f.cut.Store(1 << 20)
	r, err := s.Get(ctx, digest)
	if got := read(t, r, err); !bytes.Equal(got, content) {
		t.Fatal("after a broken connection it is another content")
	}

	f.away.Store(true)
	calls := map[string]func() error{
		"put":     func() error { _, _, err := s.Put(ctx, strings.NewReader("while it is away")); return err },
		"has":     func() error { _, err := s.Has(ctx, digest); return err },
		"get":     func() error { _, err := s.Get(ctx, digest); return err },
		"append":  func() error { return s.Logs().Append(ctx, "a", 0, []byte("x")) },
		"reclaim": func() error { _, err := s.Reclaim(ctx, digest, time.Now().Add(time.Hour)); return err },
	}
	var all sync.WaitGroup
	for name, call := range calls {
		all.Go(func() { // at once: each is tried again for some seconds
			err := call()
			if ridgeline.CodeOf(err) != ridgeline.Unavailable || !strings.Contains(err.Error(), "the blob store s3://data/c") || strings.Contains(err.Error(), "test-secret") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	all.Wait()

	f.away.Store(false)
	r, err = s.Get(ctx, digest)
	if got := read(t, r, err); !bytes.Equal(got, content) {
		t.Fatal("what was acknowledged is another content")
	}
	if _, _, err := s.Put(ctx, strings.NewReader("while it is away")); err != nil {
		t.Fatal(err)
	}
}

func TestOpenBucket_refuses(t *testing.T) {
	cloudtest.Use(t)
	for address, words := range map[string]string{
		"ftp://host/x": "use s3://", "s3:///x": "names no bucket", "folder": "use s3://", "s3://key:secret@bucket/x": "take the name and password out",
		"http://secret.example.com/x?sig=hidden": "blob store address http://secret.example.com/x: use s3://",
	} {
		_, err := OpenBucket(t.Context(), address, t.TempDir(), 1)
		refused(t, err, ridgeline.Invalid, words)
		if strings.Contains(fmt.Sprint(err), "hidden") || strings.Contains(fmt.Sprint(err), "key:secret") {
			t.Errorf("a secret is in %v", err)
		}
	}
	nowhere := strings.Replace(cloudtest.S3(t).Address("x"), "//data/", "//nowhere/", 1)
	s := bucketStore(t, nowhere, 0)
	refused(t, s.Claim(t.Context(), "us"), ridgeline.NotFound, "check the name of the bucket")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another-secret-altogether")
	s = bucketStore(t, cloudtest.S3(t).Address("x"), 0)
	refused(t, s.Claim(t.Context(), "us"), ridgeline.Denied, "have to allow listing, reading, writing and deleting")
}

// TestBucket_kill: of a writer that is killed again and again, in the middle of
// uploads in parts as well, all that was acknowledged is there and whole.
func TestBucket_kill(t *testing.T) {
	cloudtest.Use(t)
	address, dir := cloudtest.S3(t).Address("killed"), t.TempDir()
	sample(t, filepath.Join(dir, "sample"), 0)
	var puts []string
	var logged int64
	for round := range 4 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), writerDir+"="+dir, writerBucket+"="+address)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		ok(t, err)
		ok(t, child.Start())
		lines, n := bufio.NewScanner(out), 0
		for lines.Scan() {
			what, rest, _ := strings.Cut(lines.Text(), " ")
			switch what {
			case "error":
				t.Fatal(rest)
			case "put":
				puts = append(puts, rest)
			case "log":
				logged, err = strconv.ParseInt(rest, 10, 64)
				ok(t, err)
			}
			if n++; n == 4+round {
				ok(t, child.Process.Kill())
			}
		}
		_ = child.Wait() // killed: that is the point
	}
	s := bucketStore(t, address, 0)
	for _, digest := range puts {
		ok(t, s.Verify(t.Context(), digest))
	}
	seen := 0
	ok(t, s.EachContent(t.Context(), func(c Content) error {
		seen++
		return s.Verify(t.Context(), c.Digest) // also what nobody was told of
	}))
	if size, err := s.Logs().Size(t.Context(), "log"); err != nil || size < logged || seen < len(puts) {
		t.Errorf("%d bytes of log of %d, %d contents of %d, %v", size, logged, seen, len(puts), err)
	}
}
