package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

const (
	wantFile  = "want.json" // in a service's folder; without it the service is to go
	lastWords = 2 << 10
	// serviceGrace is how long a copy may take to finish the requests it holds.
	serviceGrace = 30 * time.Second
	maxReplicas  = 1000
)

// Services is this machine as a host.Services.
type Services struct{ h *Host }

var _ host.Services = Services{}

// Services returns the side of the Host that keeps services; the Host itself
// is its side of tasks, for the two interfaces use the same names.
func (h *Host) Services() Services { return Services{h} }

// Apply implements host.Services. The image is made ready and the copies are
// started by Run.
func (s Services) Apply(ctx context.Context, want host.Workload) error {
	h := s.h
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkName("workload", string(want.ID)); err != nil {
		return err
	}
	if want.Replicas < 0 || want.Replicas > maxReplicas {
		return ridgeline.Errorf(ridgeline.Invalid, "workload %s wants %d copies; this host keeps 0 to %d", want.ID, want.Replicas, maxReplicas)
	}
	if h.opt.Prepare == nil {
		return ridgeline.Errorf(ridgeline.Invalid, "workload %s: this host runs tasks only; choose another host for services", want.ID)
	}
	dir := h.serviceDir(string(want.ID))
	h.smu.Lock()
	defer h.smu.Unlock()
	have, ok, err := read[host.Workload](dir, wantFile)
	if err != nil {
		return err
	}
	if !ok || !reflect.DeepEqual(have, want) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := write(dir, wantFile, want); err != nil {
			return err
		}
	}
	h.prod()
	return nil
}

// Observe implements host.Services. It asks every copy whether it is ready.
func (s Services) Observe(ctx context.Context, id ridgeline.DeploymentID) (host.Observed, error) {
	h := s.h
	if err := ctx.Err(); err != nil {
		return host.Observed{}, err
	}
	if checkName("workload", string(id)) != nil {
		return host.Observed{}, nil
	}
	want, ok, err := read[host.Workload](h.serviceDir(string(id)), wantFile)
	if err != nil || !ok {
		return host.Observed{}, err
	}
	o := host.Observed{Copies: make([]host.Copy, want.Replicas)}
	var wg sync.WaitGroup
	for n := range o.Copies {
		wg.Go(func() { o.Copies[n] = h.observeCopy(ctx, id, n) })
	}
	wg.Wait()
	return o, ctx.Err()
}

func (h *Host) observeCopy(ctx context.Context, id ridgeline.DeploymentID, n int) host.Copy {
	dir := h.copyDir(id, n)
	sp, ok, _ := read[spec](dir, specFile)
	if !ok {
		c := host.Copy{Message: "not started yet"}
		if err := h.service(id).trouble(); err != nil {
			c.Message = err.Error()
		}
		return c
	}
	st, _, _ := read[copyState](dir, stateFile)
	c := host.Copy{Address: "unix://" + sp.Socket, Restarts: st.Restarts}
	err := ready(ctx, sp.Socket)
	if err == nil {
		c.Ready = true
		return c
	}
	words, _ := tailOf(dir, lastWords)
	c.Message = strings.TrimSpace(strings.ToValidUTF8(string(words), "\uFFFD"))
	if c.Message == "" {
		c.Message = st.Message
	}
	if c.Message == "" {
		c.Message = "does not answer yet: " + err.Error()
	}
	if err := h.service(id).trouble(); err != nil {
		c.Message = err.Error()
	}
	return c
}

// ready asks the scorer behind a socket whether init() has returned.
func ready(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	transport, base := host.Transport("unix://" + socket)
	transport.DisableKeepAlives = true
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/healthz/ready", nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/healthz/ready answers %s", resp.Status)
	}
	return nil
}

// Remove implements host.Services.
func (s Services) Remove(ctx context.Context, id ridgeline.DeploymentID) error {
	h := s.h
	if checkName("workload", string(id)) != nil {
		return nil
	}
	dir := h.serviceDir(string(id))
	h.smu.Lock()
	err := os.Remove(filepath.Join(dir, wantFile)) // from here on it is to go, whoever carries it out
	h.smu.Unlock()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !exists(dir, "") {
		return nil
	}
	held := h.service(id)
	held.interrupt()
	if err := held.acquire(ctx); err != nil {
		return err
	}
	defer held.release()
	return h.clear(ctx, id)
}

// clear stops all copies of a service that is to go and removes its folder.
// The caller holds the service.
func (h *Host) clear(ctx context.Context, id ridgeline.DeploymentID) error {
	dir := h.serviceDir(string(id))
	copies, err := h.copies(id)
	if err != nil {
		return err
	}
	if err := h.stopCopies(ctx, id, copies, true); err != nil {
		return err
	}
	h.smu.Lock()
	defer h.smu.Unlock()
	if exists(dir, wantFile) {
		h.prod()
		return nil // applied again meanwhile
	}
	if err := discard(dir); err != nil {
		return err
	}
	delete(h.services, id)
	if left, err := folders(h.servicesDir()); err == nil && len(left) == 0 {
		os.Remove(h.socketDir())
		os.Remove(filepath.Dir(h.socketDir())) // stays where another server uses it
	}
	return nil
}

// stopCopies stops the numbered copies at the same time, and forgets them if
// told so.
func (h *Host) stopCopies(ctx context.Context, id ridgeline.DeploymentID, numbers []int, forget bool) error {
	errs := make([]error, len(numbers))
	var wg sync.WaitGroup
	for i, n := range numbers {
		wg.Go(func() {
			dir := h.copyDir(id, n)
			if errs[i] = stopCopy(ctx, dir); errs[i] != nil {
				return
			}
			os.Remove(h.socketPath(string(id), n))
			if forget {
				errs[i] = discard(dir)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stopCopy asks the supervisor of a copy to stop and returns when nothing of
// the copy is left.
func stopCopy(ctx context.Context, dir string) error {
	asked := false
	for pause := 2 * time.Millisecond; ; pause = min(pause*2, 50*time.Millisecond) {
		f, err := lock(dir, unix.LOCK_EX)
		if err == nil {
			defer f.Close()
			if exists(dir, endFile) || !exists(dir, startedFile) {
				return nil
			}
			return sweep(dir) // the supervisor died before its end
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, errHeld) {
			return err
		}
		if !asked {
			asked = signal(dir, unix.SIGTERM)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// Log implements host.Services. With several copies the tail is
// divided among them, each under a line that says which it is.
func (s Services) Log(ctx context.Context, id ridgeline.DeploymentID, tail int64) ([]byte, error) {
	h := s.h
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if checkName("workload", string(id)) != nil || tail <= 0 {
		return nil, nil
	}
	copies, err := h.copies(id)
	if err != nil || len(copies) == 0 {
		return nil, err
	}
	if len(copies) == 1 {
		return tailOf(h.copyDir(id, copies[0]), tail)
	}
	var b bytes.Buffer
	for _, n := range copies {
		head := fmt.Sprintf("==> copy %d <==\n", n)
		words, err := tailOf(h.copyDir(id, n), tail/int64(len(copies))-int64(len(head))-1)
		if err != nil {
			return nil, err
		}
		if len(words) > 0 {
			b.WriteString(head)
			b.Write(words)
			if words[len(words)-1] != '\n' {
				b.WriteByte('\n')
			}
		}
	}
	return b.Bytes(), nil
}

// tailOf reads the last n bytes that a copy wrote, over the turn of its log.
func tailOf(dir string, n int64) ([]byte, error) {
	if n <= 0 {
		return nil, nil
	}
	last, err := tailOfFile(filepath.Join(dir, logFile), n)
	if err != nil || int64(len(last)) == n {
		return last, err
	}
	before, err := tailOfFile(filepath.Join(dir, oldLogFile), n-int64(len(last)))
	return append(before, last...), err
}

func tailOfFile(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, st.Size()-n)
	return io.ReadAll(io.NewSectionReader(f, from, st.Size()-from))
}

// Workloads implements host.Services.
func (s Services) Workloads(ctx context.Context) ([]ridgeline.DeploymentID, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	names, err := folders(s.h.servicesDir())
	if err != nil {
		return nil, err
	}
	ids := make([]ridgeline.DeploymentID, 0, len(names))
	for _, n := range names {
		ids = append(ids, ridgeline.DeploymentID(n))
	}
	return ids, nil
}

func (h *Host) copyDir(id ridgeline.DeploymentID, n int) string {
	return filepath.Join(h.serviceDir(string(id)), strconv.Itoa(n))
}

// copies lists the numbers of the copies that have a folder.
func (h *Host) copies(id ridgeline.DeploymentID) ([]int, error) {
	names, err := folders(h.serviceDir(string(id)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []int
	for _, s := range names {
		if n, err := strconv.Atoi(s); err == nil {
			list = append(list, n)
		}
	}
	return list, err
}
