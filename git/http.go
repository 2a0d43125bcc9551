package git

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// The two services of git's smart HTTP protocol (gitprotocol-http(5)).
const (
	uploadPack  = "git-upload-pack"  // fetch and clone
	receivePack = "git-receive-pack" // push
)

var protocolRE = regexp.MustCompile(`^version=[0-9]$`)

// Handler answers below /git/ for callers that are signed in already:
// viewers may clone and fetch, writers may push.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /git/{repository}/info/refs", s.advertise)
	mux.HandleFunc("POST /git/{repository}/{service}", s.serve)
	mux.HandleFunc("/git/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, ridgeline.Errorf(ridgeline.NotFound, "there is nothing at %s: a project's repository is at /git/PROJECT.git, for git 1.6.6 or newer", r.URL.Path))
	})
	return mux
}

// refuse answers in plain text, which git shows to its user.
func refuse(w http.ResponseWriter, err error) {
	status := map[ridgeline.Code]int{
		ridgeline.Invalid: http.StatusBadRequest, ridgeline.NotFound: http.StatusNotFound, ridgeline.Conflict: http.StatusConflict,
		ridgeline.Denied: http.StatusForbidden, ridgeline.Unavailable: http.StatusServiceUnavailable,
	}[ridgeline.CodeOf(err)]
	text := err.Error()
	if status == 0 {
		status, text = http.StatusInternalServerError, "an unexpected error occurred; the server's log has it"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// open finds the repository that a request is about. A push makes it.
func (s *Server) open(r *http.Request, service string) (ridgeline.ProjectName, string, error) {
	if service != uploadPack && service != receivePack {
		return "", "", ridgeline.Errorf(ridgeline.NotFound, "no service %q: expected %s or %s", service, uploadPack, receivePack)
	}
	name, found := strings.CutSuffix(r.PathValue("repository"), ".git")
	project := ridgeline.ProjectName(name)
	if !found {
		return "", "", ridgeline.Errorf(ridgeline.NotFound, "no repository %s: a project's repository is at /git/PROJECT.git", r.PathValue("repository"))
	}
	if err := ridgeline.CheckName("project", name); err != nil {
		return "", "", err
	}
	who := auth.From(r.Context())
	if service == receivePack {
		if !who.Role.Allows(ridgeline.Writer) {
			err := ridgeline.Errorf(ridgeline.Denied, "%s is a %s; pushing needs a %s", who.Name, who.Role, ridgeline.Writer)
			return "", "", s.audited(r.Context(), project, func(context.Context) error { return err })
		}
		if err := Ensure(r.Context(), s.repository(project)); err != nil || !s.Kept {
			return project, s.repository(project), err
		}
		_, err := s.update(r.Context(), project)
		if ridgeline.CodeOf(err) == ridgeline.NotFound { // the first push
			err = nil
		}
		return project, s.repository(project), err
	}
	if s.Kept {
		_, err := s.update(r.Context(), project)
		return project, s.repository(project), err
	}
	if _, err := os.Stat(filepath.Join(s.repository(project), "HEAD")); err != nil {
		return "", "", errNeverPushed(project)
	}
	return project, s.repository(project), nil
}

// service prepares one side of git's protocol.
func (s *Server) service(ctx context.Context, r *http.Request, repository, service string, flags ...string) *exec.Cmd {
	extra := [][2]string{{"receive.maxInputSize", fmt.Sprint(s.MaxPush)}, {"receive.autogc", strconv.FormatBool(!s.Kept)}}
	args := append([]string{strings.TrimPrefix(service, "git-"), "--stateless-rpc"}, flags...)
	cmd := command(ctx, repository, extra, append(args, repository)...)
	if version := r.Header.Get("Git-Protocol"); protocolRE.MatchString(version) {
		cmd.Env = append(cmd.Env, "GIT_PROTOCOL="+version)
	}
	return cmd
}

// advertise answers what branches and tags there are.
func (s *Server) advertise(w http.ResponseWriter, r *http.Request) {
	service := r.URL.Query().Get("service")
	_, repository, err := s.open(r, service)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	out, err := run(s.service(r.Context(), r, repository, service, "--http-backend-info-refs"))
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-"+service+"-advertisement")
	w.Header().Set("Cache-Control", "no-cache")
	if service == receivePack || r.Header.Get("Git-Protocol") != "version=2" {
		_, _ = io.WriteString(w, packet("# service="+service+"\n")+"0000")
	}
	_, _ = w.Write(out)
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if ridgeline.CodeOf(err) == ridgeline.Internal && r.Context().Err() == nil {
		s.Log.Error("git over HTTP", "path", r.URL.Path, "error", err)
	}
	refuse(w, err)
}

// audited does what a push asks for, and keeps who asked.
func (s *Server) audited(ctx context.Context, project ridgeline.ProjectName, do func(ctx context.Context) error) error {
	who := auth.From(ctx)
	return s.Store.Audited(ctx, ridgeline.AuditEvent{Who: who.Name, Via: who.Via, Address: who.Address, Action: "push", Subject: "projects/" + string(project)}, do)
}

// packet is a line of git's protocol: four hex digits of length in front.
func packet(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// serve runs the service over the request's body.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	service := r.PathValue("service")
	project, repository, err := s.open(r, service)
	if err == nil && r.Header.Get("Content-Type") != "application/x-"+service+"-request" {
		err = ridgeline.Errorf(ridgeline.Invalid, "Content-Type %q: expected application/x-%s-request", r.Header.Get("Content-Type"), service)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	body, err := plain(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-"+service+"-result")
	w.Header().Set("Cache-Control", "no-cache")
	if service == uploadPack {
		cmd := s.service(r.Context(), r, repository, service)
		cmd.Stdin, cmd.Stdout = body, w
		if err := finish(cmd); err != nil && r.Context().Err() == nil {
			s.Log.Warn("a fetch ended early", "project", project, "error", err)
		}
		return
	}
	s.push(w, r, project, repository, body)
}

// push takes a push into the repository or, when repositories are kept, into one
// that is there for this push alone.
func (s *Server) push(w http.ResponseWriter, r *http.Request, project ridgeline.ProjectName, repository string, body io.Reader) {
	if !s.Kept {
		s.receive(w, r, s.service(r.Context(), r, repository, receivePack), project, body, nil)
		return
	}
	n, err := s.scratch(r.Context(), project)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	defer os.RemoveAll(n.dir)
	s.receive(w, r, s.service(r.Context(), r, n.repository(), receivePack), project, body, n)
}

// plain is the request's body, unpacked.
func plain(r *http.Request) (io.Reader, error) {
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
		return r.Body, nil
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "the request's body is not gzip: %v", err)
		}
		return z, nil
	}
	return nil, ridgeline.Errorf(ridgeline.Invalid, "Content-Encoding %q: expected gzip or none", r.Header.Get("Content-Encoding"))
}

// receive takes a push and, before the pusher is told that all is over, has
// its builds written down.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, cmd *exec.Cmd, project ridgeline.ProjectName, body io.Reader, n *scratch) {
	in := &counted{r: bufio.NewReaderSize(body, maxPacket)}
	asked, sideband := commands(in.r)
	out := &answer{w: w}
	cmd.Stdin, cmd.Stdout = in, out
	s.note(project) // whatever happens from here on, the branches are looked at
	err := finish(cmd)
	if err != nil && r.Context().Err() == nil {
		s.Log.Warn("a push ended early", "project", project, "error", err)
	}
	// A client that still sends does not read. What git did not want is read
	// and thrown away, as far as that is bearable.
	_, _ = io.CopyN(io.Discard, in, s.MaxPush)
	if errors.Is(err, exec.ErrNotFound) || ridgeline.CodeOf(err) == ridgeline.Unavailable {
		refuse(w, err)
		return
	}
	// The pusher may have gone; what arrived is kept and built all the same.
	ctx := context.WithoutCancel(r.Context())
	if n != nil {
		changed, err := s.publish(ctx, project, n)
		if err != nil {
			_ = s.audited(ctx, project, func(ctx context.Context) error { return err })
			s.reject(out, sideband, project, changed, err)
			return
		}
		if n.was.Version == 0 && len(changed) == 0 { // and there is no repository yet
			out.end(sideband, nil)
			return
		}
	}
	var words []string
	taken, failed := s.taken(ctx, cmd.Dir, asked)
	_ = s.audited(ctx, project, func(ctx context.Context) error { // received fails no push: its words say what could not be built
		store.ActOf(ctx).Because(taken)
		if len(asked) == 0 { // a client that only tries whether it may
			store.ActOf(ctx).Nothing()
		}
		words = s.received(ctx, project, auth.From(ctx).Name)
		return failed
	})
	if in.n > s.MaxPush {
		words = append([]string{fmt.Sprintf("this server takes pushes of up to %d MiB: keep data out of git and name it by a path, or push in parts", s.MaxPush>>20)}, words...)
	}
	out.end(sideband, words)
}

// reject tells the pusher that nothing of the push was kept.
func (s *Server) reject(out *answer, sideband bool, project ridgeline.ProjectName, refs []string, err error) {
	why := err.Error()
	switch ridgeline.CodeOf(err) {
	case ridgeline.Conflict, ridgeline.Unavailable:
	default:
		why = "the server could not keep it; its log says why"
	}
	s.Log.Error("keep what was pushed", "project", project, "error", err)
	out.held.Reset()
	out.held.Write(rejection(refs, sideband, why))
	out.end(sideband, nil)
}

// received builds what a push has changed and returns what the pusher is told.
func (s *Server) received(ctx context.Context, project ridgeline.ProjectName, caller string) []string {
	done, err := s.Sync(ctx, project, caller)
	var words []string
	for _, b := range done {
		if b.Build != "" {
			words = append(words, fmt.Sprintf("%s: build %s of %s; follow it with: ridgeline build %s", b.Name, b.Build, b.Hash[:12], b.Build),
				"    "+s.URL+"/api/v1/builds/"+string(b.Build))
		}
		if b.Note != "" {
			words = append(words, b.Name+": "+b.Note)
		}
	}
	if err != nil {
		s.Log.Error("build what was pushed", "project", project, "error", err)
		words = append(words, "the push is kept, but its build could not be started yet; the server tries again")
	}
	return words
}

// maxPacket is the length of git's longest packet.
const maxPacket = 65520

// commands are what a push asks for, by the names of the refs, as far as they fit
// into a packet, and whether the pusher takes messages beside the result: the
// first command lists what its git can do, after a NUL (gitprotocol-pack(5)).
func commands(r *bufio.Reader) (refs map[string]string, sideband bool) {
	refs = map[string]string{}
	for at := 0; ; {
		head, err := r.Peek(at + 4)
		if err != nil {
			return refs, sideband
		}
		var n int
		if _, err := fmt.Sscanf(string(head[at:]), "%04x", &n); err != nil || n <= 4 {
			return refs, sideband
		}
		line, err := r.Peek(at + n)
		if err != nil {
			return refs, sideband
		}
		command, can, first := bytes.Cut(line[at+4:], []byte{0})
		if first {
			sideband = bytes.Contains(can, []byte("side-band-64k"))
		}
		if words := strings.Fields(string(command)); len(words) == 3 { // not "shallow", before the commands
			refs[words[2]] = words[1]
		}
		at += n
	}
}

// mostTaken is how many refs of a push are told one by one.
const mostTaken = 20

// taken says which refs a push has left where it wanted them; it is an error when
// there are none of those.
func (s *Server) taken(ctx context.Context, repository string, asked map[string]string) (string, error) {
	text, err := refsOf(ctx, repository)
	if err != nil {
		return "", err
	}
	now := byName(text)
	var all []string
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		short := strings.TrimPrefix(strings.TrimPrefix(name, "refs/heads/"), "refs/")
		switch hash := asked[name]; {
		case strings.Trim(hash, "0") == "" && now[name] == "":
			all = append(all, short+" removed")
		case now[name] == hash:
			all = append(all, short+" "+hash)
		}
	}
	if len(all) == 0 && len(asked) > 0 {
		return "", ridgeline.Errorf(ridgeline.Conflict, "none of the %d refs was taken", len(asked))
	}
	if more := len(all) - mostTaken; more > 0 {
		all = append(all[:mostTaken], fmt.Sprintf("%d more", more))
	}
	return strings.Join(all, ", "), nil
}

// counted counts what is read.
type counted struct {
	r *bufio.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// An answer goes to the pusher but for its last packet, before which there is
// more to say. It is held until the push has been read: HTTP/1 clients and
// proxies do not read while they send, and this is progress and a verdict, a
// few kilobytes.
type answer struct {
	w    io.Writer
	held bytes.Buffer
}

func (a *answer) Write(p []byte) (int, error) {
	if a.held.Len() > 1<<20 { // nobody's progress is that long
		return 0, errors.New("the answer to a push is over 1 MiB")
	}
	return a.held.Write(p)
}

// end sends the answer with the lines, each of which git shows as "remote: …".
func (a *answer) end(sideband bool, lines []string) {
	text, flushed := bytes.CutSuffix(a.held.Bytes(), []byte("0000"))
	_, _ = a.w.Write(text)
	if !flushed {
		return
	}
	if sideband && len(lines) > 0 {
		_, _ = io.WriteString(a.w, packet("\x02\n"+strings.Join(lines, "\n")+"\n\n"))
	}
	_, _ = io.WriteString(a.w, "0000")
}
