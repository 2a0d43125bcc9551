package blob

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// Uploads are contents that arrive in numbered parts, in any order, each as often
// as their sender likes, until they are joined: uploads/<id>/<number, 5 digits>,
// with what was said about them as uploads/<id>/about. What comes for an upload
// that was removed meanwhile stays behind until Abandoned finds it.
type Uploads struct{ objects *Objects }

// Uploads returns those of the store.
func (s *Store) Uploads() *Uploads { return &Uploads{s.Objects("uploads")} }

var (
	uploadID   = regexp.MustCompile(`^[0-9a-f]{32}$`)
	uploadPart = regexp.MustCompile(`^[0-9]{5}$`)
)

// Begin makes an upload, of which about says what it is.
func (u *Uploads) Begin(ctx context.Context, about string) (id string, err error) {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	id = hex.EncodeToString(b[:])
	return id, u.Describe(ctx, id, about)
}

// Describe replaces what is said about an upload.
func (u *Uploads) Describe(ctx context.Context, id, about string) error {
	return u.objects.Put(ctx, id+"/about", strings.NewReader(about))
}

// About returns what was said about an upload. One that is not there is NotFound.
func (u *Uploads) About(ctx context.Context, id string) (string, error) {
	if !uploadID.MatchString(id) {
		return "", ridgeline.Errorf(ridgeline.NotFound, "no upload '%.40s'", id)
	}
	r, err := u.objects.Get(ctx, id+"/about")
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return "", ridgeline.Errorf(ridgeline.NotFound, "no upload %s: it was aborted, or nothing came for a week; begin again", id)
	}
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

// PutPart keeps a part, in place of an earlier one of that number. What ends
// before its end leaves nothing.
func (u *Uploads) PutPart(ctx context.Context, id string, number int, r io.Reader) error {
	if _, err := u.About(ctx, id); err != nil {
		return err
	}
	return u.objects.Put(ctx, fmt.Sprintf("%s/%05d", id, number), r)
}

// Parts returns the sizes of the parts that are there, by number.
func (u *Uploads) Parts(ctx context.Context, id string) (map[int]int64, error) {
	if _, err := u.About(ctx, id); err != nil {
		return nil, err
	}
	all, err := u.objects.List(ctx, id)
	parts := map[int]int64{}
	for _, o := range all {
		if name := path.Base(o.Name); uploadPart.MatchString(name) {
			number, _ := strconv.Atoi(name) // five digits
			parts[number] = o.Size
		}
	}
	return parts, err
}

// Join keeps the parts 1 to n, one behind the other, as one content.
func (u *Uploads) Join(ctx context.Context, id string, n int) (digest string, size int64, err error) {
	parts, err := u.Parts(ctx, id)
	if err != nil {
		return "", 0, err
	}
	for number := 1; number <= n; number++ {
		if _, there := parts[number]; !there {
			return "", 0, ridgeline.Errorf(ridgeline.Invalid, "upload %s has %d of %d parts, and part %d is not among them: send it, then complete the upload again", id, len(parts), n, number)
		}
	}
	joined := &joined{ctx: ctx, uploads: u, id: id, parts: n}
	defer joined.close()
	return u.objects.store.Put(ctx, joined)
}

// joined reads one part after the other.
type joined struct {
	ctx     context.Context //nolint:containedctx // of Join
	uploads *Uploads
	id      string
	parts   int
	at      int // number of the one that is open
	open    io.ReadCloser
}

func (j *joined) Read(p []byte) (int, error) {
	for {
		if j.open == nil {
			if j.at++; j.at > j.parts {
				return 0, io.EOF
			}
			var err error
			if j.open, err = j.uploads.objects.Get(j.ctx, fmt.Sprintf("%s/%05d", j.id, j.at)); err != nil {
				return 0, err
			}
		}
		n, err := j.open.Read(p)
		if errors.Is(err, io.EOF) {
			err = nil
			j.close()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (j *joined) close() {
	if j.open != nil {
		_ = j.open.Close()
		j.open = nil
	}
}

// Empty removes the parts, and leaves what is said about the upload.
func (u *Uploads) Empty(ctx context.Context, id string) error {
	all, err := u.objects.List(ctx, id)
	for _, o := range all {
		if err == nil && uploadPart.MatchString(path.Base(o.Name)) {
			err = u.objects.Remove(ctx, o.Name)
		}
	}
	return err
}

// Remove forgets an upload and its parts. Absent is success.
func (u *Uploads) Remove(ctx context.Context, id string) error {
	if !uploadID.MatchString(id) {
		return nil
	}
	// First what makes it an upload: no part is taken from then on.
	if err := u.objects.Remove(ctx, id+"/about"); err != nil {
		return err
	}
	return u.Empty(ctx, id)
}

// Abandoned returns the uploads for which nothing came since the time given, and
// the bytes that each takes.
func (u *Uploads) Abandoned(ctx context.Context, since time.Time) (map[string]int64, error) {
	all, err := u.objects.List(ctx, "")
	if err != nil {
		return nil, err
	}
	sizes, last := map[string]int64{}, map[string]time.Time{}
	for _, o := range all {
		id, _, _ := strings.Cut(o.Name, "/")
		sizes[id] += o.Size
		if o.Changed.After(last[id]) {
			last[id] = o.Changed
		}
	}
	maps.DeleteFunc(sizes, func(id string, _ int64) bool { return !last[id].Before(since) })
	return sizes, nil
}
