package store

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func testSessions(t *testing.T, s *Store) {
	ctx := t.Context()
	link := ridgeline.Session{Hash: "l1", Credential: "c1", Once: true, Created: at(1), Expires: at(10)}
	ok(t, s.CreateSession(ctx, link))
	same(t, must(s.Session(ctx, "l1"))(t), link)
	session := ridgeline.Session{Hash: "s1", Created: at(2), Expires: at(50)}
	ok(t, s.UseLink(ctx, "l1", session))
	session.Credential = "c1"
	same(t, must(s.Session(ctx, "s1"))(t), session)
	refused(t, s.UseLink(ctx, "l1", ridgeline.Session{Hash: "s2", Created: at(3), Expires: at(50)}), ridgeline.Denied, "used already")
	refused(t, s.UseLink(ctx, "s1", ridgeline.Session{Hash: "s2", Created: at(3), Expires: at(50)}), ridgeline.Denied, "not known")
	refused(t, s.UseLink(ctx, "l9", ridgeline.Session{Hash: "s2", Created: at(3), Expires: at(50)}), ridgeline.Denied, "not known")

	ok(t, s.CreateSession(ctx, ridgeline.Session{Hash: "l2", Credential: "c1", Once: true, Created: at(3), Expires: at(5)}))
	refused(t, s.UseLink(ctx, "l2", ridgeline.Session{Hash: "s2", Created: at(5), Expires: at(50)}), ridgeline.Denied, "expired")

	ok(t, s.EndSession(ctx, "s1", at(6)))
	ok(t, s.EndSession(ctx, "s1", at(7)))
	ok(t, s.EndSession(ctx, "nobody", at(7)))
	session.Ended = at(6)
	same(t, must(s.Session(ctx, "s1"))(t), session)

	// What has expired is forgotten when the next one comes.
	ok(t, s.CreateSession(ctx, ridgeline.Session{Hash: "s3", Credential: "c2", Created: at(60), Expires: at(90)}))
	_, err := s.Session(ctx, "s1")
	refused(t, err, ridgeline.NotFound, "no such session")
}

// Many come with one link at the same moment; one gets in.
func testConcurrentLinks(t *testing.T, s *Store) {
	ctx := t.Context()
	ok(t, s.CreateSession(ctx, ridgeline.Session{Hash: "l1", Credential: "c1", Once: true, Created: at(1), Expires: at(10)}))
	var in atomic.Int32
	var all sync.WaitGroup
	for _, hash := range []string{"s1", "s2", "s3", "s4", "s5"} {
		all.Go(func() {
			err := s.UseLink(ctx, "l1", ridgeline.Session{Hash: hash, Created: at(2), Expires: at(50)})
			switch ridgeline.CodeOf(err) {
			case "":
				in.Add(1)
			case ridgeline.Denied:
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	same(t, in.Load(), int32(1))
}
