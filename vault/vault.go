// Package vault seals secrets that have to be read again, such as a deploy key
// or the secret of a webhook: what lies in the database opens nothing without
// a key file that lies elsewhere.
//
// Who may ask for a secret, and where sealed text is kept, it leaves to others.
package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// FileName is the key file's name in its folder: 64 hex digits, mode 0600.
const FileName = "vault-key"

// A Vault seals and opens. It is safe for concurrent use.
type Vault struct {
	key  []byte // 256 bits
	path string
}

// Open reads the key file in dir, which servers of one database have in
// common, and makes it at the first start. Two servers that start at once
// agree on one key.
func Open(dir string) (*Vault, error) {
	path := filepath.Join(dir, FileName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(path); err != nil {
			return nil, fmt.Errorf("make the vault's key: %w", err)
		}
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the vault's key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != 32 {
		return nil, ridgeline.Errorf(ridgeline.Invalid,
			"%s does not hold a key of 64 hex digits: restore it from a backup; a new key (remove the file) leaves every stored secret unreadable", path)
	}
	return &Vault{key, path}, nil
}

// makeKey writes a new key beside its place and links it there, unless another
// server was quicker. Both reach the disk before anything is sealed.
func makeKey(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), FileName+"-*.new") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails: crypto/rand
	_, err = f.WriteString(hex.EncodeToString(key[:]) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// The form of sealed text: the version, a colon, and in base64url the salt
// followed by what AES-256-GCM made: nonce (12 bytes), ciphertext, tag (16).
const (
	version  = "v1:"
	saltSize = 16
)

// Seal encrypts plain for storage. The same plain gives another text each
// time. about says what the secret is and whose, such as
// "remote/iris/github/token": Open asks for the same words, so that a text
// moved to another row opens nothing there.
func (v *Vault) Seal(plain []byte, about string) (string, error) {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt)
	aead, err := v.cipher(salt)
	if err != nil {
		return "", err
	}
	return version + base64.RawURLEncoding.EncodeToString(aead.Seal(salt, nil, plain, []byte(about))), nil
}

// Open decrypts what Seal made with the same key and the same about. Anything
// else is Internal, since the database then holds what it should not.
func (v *Vault) Open(sealed, about string) ([]byte, error) {
	text, found := strings.CutPrefix(sealed, version)
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if !found || err != nil || len(raw) < saltSize {
		return nil, ridgeline.Errorf(ridgeline.Internal, "the stored secret of %s is damaged: store it again", about)
	}
	aead, err := v.cipher(raw[:saltSize])
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, raw[saltSize:], []byte(about))
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Internal,
			"the stored secret of %s cannot be opened with the key in %s: restore that file from the backup that goes with this database, or store the secret again", about, v.path)
	}
	return plain, nil
}

// cipher makes the AEAD of one text. Each has a key of its own, derived with
// HKDF-SHA256 (RFC 5869) from the salt, so that random nonces never come near
// their limit.
func (v *Vault) cipher(salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, v.key, salt, "ridgeline vault "+version, 32)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("use a key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
