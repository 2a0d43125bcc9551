package vault_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/vault"
)

func open(t *testing.T, dir string) *vault.Vault {
	t.Helper()
	v, err := vault.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVault(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	for _, plain := range []string{"", "s3cret", "-----BEGIN OPENSSH PRIVATE KEY-----\n\x00\xff\n", strings.Repeat("long", 5000)} {
		one, err := v.Seal([]byte(plain), "remote/iris/github/token")
		if err != nil {
			t.Fatal(err)
		}
		two, err := v.Seal([]byte(plain), "remote/iris/github/token")
		if err != nil || one == two {
			t.Errorf("sealed twice to the same text, %v", err)
		}
		if plain != "" && strings.Contains(one, plain) {
			t.Errorf("%q shows in %s", plain, one)
		}
		got, err := open(t, dir).Open(one, "remote/iris/github/token") // as after a restart
		if err != nil || string(got) != plain {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func TestVault_refuses(t *testing.T) {
	v := open(t, t.TempDir())
	sealed, err := v.Seal([]byte("s3cret"), "a")
	if err != nil {
		t.Fatal(err)
	}
	last := "A"
	if strings.HasSuffix(sealed, "A") {
		last = "Q"
	}
	for name, try := range map[string]struct {
		vault         *vault.Vault
		sealed, about string
	}{
		"another purpose":   {v, sealed, "b"},
		"another key":       {open(t, t.TempDir()), sealed, "a"},
		"a changed end":     {v, sealed[:len(sealed)-1] + last, "a"},
		"a cut end":         {v, sealed[:len(sealed)-8], "a"},
		"nearly nothing":    {v, "v1:AAAA", "a"},
		"nothing":           {v, "", "a"},
		"another version":   {v, "v2" + sealed[2:], "a"},
		"what is no base64": {v, "v1:%%%", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			plain, err := try.vault.Open(try.sealed, try.about)
			if ridgeline.CodeOf(err) != ridgeline.Internal || plain != nil {
				t.Errorf("got %q, %v", plain, err)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the secret is in the error: %v", err)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	t.Run("the key is its owner's alone, and stays", func(t *testing.T) {
		dir := t.TempDir()
		open(t, dir)
		path := filepath.Join(dir, vault.FileName)
		first, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		open(t, dir)
		if again, err := os.ReadFile(path); err != nil || string(again) != string(first) {
			t.Errorf("the key changed, %v", err)
		}
		if files, _ := os.ReadDir(dir); len(files) != 1 {
			t.Errorf("left behind: %v", files)
		}
	})
	t.Run("servers that start at once agree", func(t *testing.T) {
		dir := t.TempDir()
		var vaults [16]*vault.Vault
		var all sync.WaitGroup
		for i := range vaults {
			all.Go(func() { vaults[i], _ = vault.Open(dir) })
		}
		all.Wait()
		for _, v := range vaults {
			if v == nil {
				t.Fatal("not opened")
			}
			sealed, err := v.Seal([]byte("x"), "a")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := vaults[0].Open(sealed, "a"); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("a damaged key file is not replaced", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, vault.FileName)
		for _, text := range []string{"", "nonsense", strings.Repeat("ab", 31)} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := vault.Open(dir)
			if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), "64 hex digits") {
				t.Errorf("%q: got %v", text, err)
			}
			if got, _ := os.ReadFile(path); string(got) != text {
				t.Errorf("the file was changed to %q", got)
			}
		}
	})
	t.Run("no folder", func(t *testing.T) {
		if _, err := vault.Open(filepath.Join(t.TempDir(), "none")); err == nil {
			t.Error("opened")
		}
	})
}
