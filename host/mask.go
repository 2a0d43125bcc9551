package host

import (
	"bytes"
	"encoding/binary"
	"strings"
)

const (
	shortestSecret = 8       // what is shorter stands in every log
	longestSecret  = 8 << 10 // bytes
)

// A masker replaces secrets in a log by as many asterisks, so that every byte
// keeps its place.
type masker struct {
	secrets [][]byte
	starts  map[uint32][][]byte // by their first four bytes
	some    [1 << 16]bool       // whether starts may have something, by a hash of the four
}

// newMasker makes one of secrets in the clear; nil when there are none. Of a
// secret of several lines, such as a key file, each line is one.
func newMasker(secrets []string) *masker {
	m := &masker{starts: map[uint32][][]byte{}}
	for _, secret := range secrets {
		for line := range strings.FieldsFuncSeq(secret, func(r rune) bool { return r == '\n' || r == '\r' }) {
			if line = strings.TrimSpace(line); len(line) < shortestSecret || len(line) > longestSecret {
				continue
			}
			s := []byte(line)
			key := binary.LittleEndian.Uint32(s)
			m.secrets = append(m.secrets, s)
			m.starts[key] = append(m.starts[key], s)
			m.some[hash(key)] = true
		}
	}
	if m.secrets == nil {
		return nil
	}
	return m
}

// Mask replaces the secrets in each text, which comes from a task beside its
// log, as Follow's Secrets are replaced in the log.
func Mask(secrets []string, texts ...*string) {
	m := newMasker(secrets)
	if m == nil {
		return
	}
	for _, t := range texts {
		b := []byte(*t)
		m.mask(b, true)
		*t = string(b)
	}
}

// hash is Knuth's multiplicative one.
func hash(key uint32) uint16 { return uint16((key * 2654435769) >> 16) }

// mask replaces the secrets in p and returns how much of it is ready: what
// comes behind may be the beginning of one, and is left as it is until more is
// known. At the end of a log all is ready.
func (m *masker) mask(p []byte, end bool) int {
	if m == nil {
		return len(p)
	}
	for i := 0; i < len(p); i++ {
		candidates := m.secrets // so near the end, all are looked at
		if i+4 <= len(p) {
			key := binary.LittleEndian.Uint32(p[i:])
			if !m.some[hash(key)] {
				continue
			}
			candidates = m.starts[key]
		}
		longest := 0
		for _, s := range candidates {
			rest := p[i:]
			if len(rest) < len(s) && bytes.HasPrefix(s, rest) && !end {
				return i
			}
			if bytes.HasPrefix(rest, s) {
				longest = max(longest, len(s))
			}
		}
		for j := range longest {
			p[i+j] = '*'
		}
		i += max(longest, 1) - 1
	}
	return len(p)
}
