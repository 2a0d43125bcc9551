package forge

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
)

// What ssh notes at one server is known to the other.
func TestHub_withHosts(t *testing.T) {
	metadata, err := store.Open(t.Context(), storetest.Address(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer metadata.Close()
	hub := func() *Hub {
		return New(Options{Store: metadata, Known: filepath.Join(t.TempDir(), "known_hosts"), KnownStored: true})
	}
	one, two := hub(), hub()
	const line = "[127.0.0.1]:2222 ssh-ed25519 AAAA\n"
	refused := errors.New("the deploy key does not open it")
	err = one.withHosts(t.Context(), func() error {
		if err := os.WriteFile(one.Known, []byte(line), 0o600); err != nil { // as ssh does, before it is refused
			t.Fatal(err)
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	called := false
	err = two.withHosts(t.Context(), func() error {
		called = true
		if text, err := os.ReadFile(two.Known); string(text) != line {
			t.Errorf("known is %q, %v", text, err)
		}
		return nil
	})
	if err != nil || !called {
		t.Fatalf("called %t, %v", called, err)
	}
}
