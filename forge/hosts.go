package forge

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// withHosts calls git with a file of known hosts that has what any server of the
// database has seen, and notes what is new in it afterwards. Where servers share
// the file itself it only calls.
func (h *Hub) withHosts(ctx context.Context, call func() error) error {
	if !h.KnownStored {
		return call()
	}
	if err := h.shareHosts(ctx); err != nil {
		return err
	}
	err := call()
	return errors.Join(err, h.shareHosts(context.WithoutCancel(ctx)))
}

// shareHosts makes the lines of the file and of the database the same.
func (h *Hub) shareHosts(ctx context.Context) error {
	h.hosts.Lock()
	defer h.hosts.Unlock()
	text, err := os.ReadFile(h.Known)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	here := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
	there, err := h.Store.KnownHosts(ctx)
	if err != nil {
		return err
	}
	for _, line := range here {
		if !slices.Contains(there, line) {
			if err := h.Store.AddKnownHost(ctx, line, time.Now()); err != nil {
				return err
			}
		}
	}
	all := slices.Clone(here)
	for _, line := range there {
		if !slices.Contains(here, line) {
			all = append(all, line)
		}
	}
	if len(all) == len(here) {
		return nil
	}
	if err := os.WriteFile(h.Known+".new", []byte(strings.Join(all, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(h.Known+".new", h.Known)
}
