package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// A service is what a Host keeps in memory of one workload: only what can be
// had again.
type service struct {
	busy chan struct{} // holds one value while somebody starts or stops copies

	mu     sync.Mutex
	cancel context.CancelFunc // of the look that is under way
	err    error              // why the workload cannot be had now
	image  string             // what local is of
	local  Local
	refuse error         // why there is no local, until retry
	retry  time.Time     // when to try again
	pause  time.Duration // from one failure to the next try
}

func (h *Host) service(id ridgeline.DeploymentID) *service {
	h.smu.Lock()
	defer h.smu.Unlock()
	s, ok := h.services[id]
	if !ok {
		s = &service{busy: make(chan struct{}, 1)}
		h.services[id] = s
	}
	return s
}

func (s *service) acquire(ctx context.Context) error {
	select {
	case s.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *service) release() { <-s.busy }

func (s *service) trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// interrupt ends a look that is under way: it may be preparing an image that
// nobody wants any more.
func (s *service) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
}

// reconcileAll sets every service to work that is not at it already, and
// returns how many there are.
func (h *Host) reconcileAll(ctx context.Context, wg *sync.WaitGroup) int {
	h.smu.Lock()
	stopping := h.stopping
	h.smu.Unlock()
	names, err := folders(h.servicesDir())
	if err != nil {
		h.log.Error("list the services", "err", err)
		return 1 // look again
	}
	if stopping {
		return 0
	}
	for _, name := range names {
		id := ridgeline.DeploymentID(name)
		s := h.service(id)
		select {
		case s.busy <- struct{}{}:
		default:
			continue
		}
		wg.Go(func() {
			defer s.release()
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			s.mu.Lock()
			s.cancel = cancel
			s.mu.Unlock()
			err := h.reconcile(ctx, id, s)
			if ctx.Err() != nil {
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if err != nil && (s.err == nil || s.err.Error() != err.Error()) {
				h.log.Warn("a service is not as wanted", "workload", id, "err", err)
			}
			s.err = err
		})
	}
	return len(names)
}

// reconcile works towards what is wanted of one service. The caller holds s.
func (h *Host) reconcile(ctx context.Context, id ridgeline.DeploymentID, s *service) error {
	want, ok, err := read[host.Workload](h.serviceDir(string(id)), wantFile)
	if err != nil {
		return err
	}
	if !ok {
		return h.clear(ctx, id)
	}
	copies, err := h.copies(id)
	if err != nil {
		return err
	}
	var surplus []int
	for _, n := range copies {
		if n >= want.Replicas {
			surplus = append(surplus, n)
		}
	}
	if err := h.stopCopies(ctx, id, surplus, true); err != nil {
		return err
	}
	if want.Replicas == 0 {
		return nil
	}
	local, err := h.prepare(ctx, want.Image, s)
	if err != nil {
		return err
	}
	for n := range want.Replicas {
		// Between two starts, somebody may have taken the wish back.
		if now, ok, err := read[host.Workload](h.serviceDir(string(id)), wantFile); err != nil || !ok || n >= now.Replicas {
			h.prod()
			return err
		}
		if err := h.keepCopy(ctx, want, local, n); err != nil {
			return fmt.Errorf("copy %d: %w", n, err)
		}
	}
	return nil
}

// prepare makes the image runnable once for this Host's life, and not again
// too soon after a failure.
func (h *Host) prepare(ctx context.Context, image string, s *service) (Local, error) {
	s.mu.Lock()
	local, have, refuse := s.local, s.image == image, s.refuse
	if time.Now().After(s.retry) {
		refuse = nil
	}
	s.mu.Unlock()
	if have {
		return local, nil
	}
	if refuse != nil {
		return Local{}, refuse
	}
	local, err := h.opt.Prepare(ctx, image)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.refuse = fmt.Errorf("make image %s runnable: %w", image, err)
		s.pause = min(max(2*s.pause, time.Second), time.Minute)
		s.retry = time.Now().Add(s.pause)
		return Local{}, s.refuse
	}
	s.image, s.local, s.refuse, s.pause = image, local, nil, 0
	return local, nil
}

// keepCopy sees to it that copy n runs under a supervisor, as wanted now.
func (h *Host) keepCopy(ctx context.Context, want host.Workload, local Local, n int) error {
	dir := h.copyDir(want.ID, n)
	sp := spec{
		Name: fmt.Sprintf("%s-%d", want.ID, n), Command: local.Command, Dir: local.Dir,
		Env: append(append(append([]string{}, local.Env...), want.Env...), fmt.Sprintf("RIDGELINE_COPY=%d", n)), Grace: serviceGrace,
		Resources: want.Resources, MaxLog: h.opt.MaxLog, Service: true, Socket: h.socketPath(string(want.ID), n),
	}
	b, err := json.Marshal(sp)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	sp.Check = hex.EncodeToString(sum[:8])

	f, err := lock(dir, unix.LOCK_SH)
	if errors.Is(err, errHeld) {
		if have, ok, err := read[spec](dir, specFile); err != nil || ok && have.Check == sp.Check {
			return err
		}
		if err := stopCopy(ctx, dir); err != nil {
			return err
		}
	}
	if f != nil {
		f.Close()
	}
	return h.startCopy(dir, sp)
}

func (h *Host) startCopy(dir string, sp spec) error {
	h.smu.Lock()
	stopping := h.stopping
	h.smu.Unlock()
	if stopping {
		return nil
	}
	if err := makeSocketDir(sp.Socket); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	held, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer held.Close()
	if err := relock(held, unix.LOCK_EX); err != nil {
		return err // another look is at it; the next round tries again
	}
	if exists(dir, startedFile) && !exists(dir, endFile) {
		if err := sweep(dir); err != nil {
			return err
		}
	}
	sp.Key = newKey()
	for _, name := range []string{startedFile, endFile} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if err := write(dir, specFile, sp); err != nil {
		return err
	}
	p, _, err := h.spawn(dir, sp.Name, held)
	if err != nil {
		return err
	}
	begin := time.Now()
	go func() {
		p.Wait()
		// If it was not asked to end, it is wanted again; one that cannot even
		// begin has to wait for the next round.
		if time.Since(begin) > time.Second {
			h.prod()
		}
	}()
	return nil
}

// StopServices stops every copy, letting each finish the requests it holds,
// and starts none again in this Host. What is wanted stays written down: the
// next Host's Run starts it.
func (h *Host) StopServices(ctx context.Context) error {
	h.smu.Lock()
	h.stopping = true
	h.smu.Unlock()
	names, err := folders(h.servicesDir())
	if err != nil {
		return err
	}
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			id := ridgeline.DeploymentID(name)
			s := h.service(id)
			if errs[i] = s.acquire(ctx); errs[i] != nil {
				return
			}
			defer s.release()
			copies, err := h.copies(id)
			if err == nil {
				err = h.stopCopies(ctx, id, copies, false)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
