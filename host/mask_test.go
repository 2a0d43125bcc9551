package host

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func masked(m *masker, log string, cuts func() int) string {
	var out, held []byte
	for rest := []byte(log); ; {
		n := min(cuts(), len(rest))
		p := append(held, rest[:n]...)
		rest = rest[n:]
		ready := m.mask(p, len(rest) == 0)
		out = append(out, p[:ready]...)
		held = bytes.Clone(p[ready:])
		if len(rest) == 0 {
			return string(append(out, held...))
		}
	}
}

func TestMasker(t *testing.T) {
	m := newMasker([]string{"hunter22", "hunter2222", "rl_abcdefgh\n", "-----BEGIN KEY-----\nline one of it\r\nline two of it\n", "short", ""})
	for log, want := range map[string]string{
		"":                               "",
		"nothing here":                   "nothing here",
		"hunter22":                       "********",
		"hunter2222":                     "**********", // the longer one
		"hunter222":                      "********2",
		"hunter2":                        "hunter2", // only the beginning of one
		"a=hunter22;b=rl_abcdefgh;":      "a=********;b=***********;",
		"hunter22hunter22":               "****************",
		"hunhunter22":                    "hun********",
		"line one of it and line two of": "************** and line two of",
		"short":                          "short", // stands in every log
		"hunter22\nhunter2":              "********\nhunter2",
		"h":                              "h",
	} {
		for cut := 1; cut <= len(log)+1; cut++ {
			if got := masked(m, log, func() int { return cut }); got != want {
				t.Errorf("%q in pieces of %d: got %q, want %q", log, cut, got, want)
			}
		}
	}
	if m := newMasker([]string{"", "1234567", strings.Repeat("x", longestSecret+1)}); m != nil {
		t.Error("nothing there is a secret")
	}
	if got := (*masker)(nil).mask([]byte("as it is"), false); got != 8 {
		t.Error(got)
	}
}

// TestMasker_Pieces: however a log comes in pieces, it ends up the same as in
// one, with nothing of its secrets.
func TestMasker_Pieces(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	secrets := []string{"abababab", "ababababba", "bbbbbbbbbb", "aaaaaaaaab"}
	m := newMasker(secrets)
	for range 2000 {
		log := make([]byte, random.IntN(200))
		for i := range log {
			log[i] = "ab\n"[random.IntN(40)/19]
		}
		whole := masked(m, string(log), func() int { return len(log) + 1 })
		if got := masked(m, string(log), func() int { return 1 + random.IntN(20) }); got != whole {
			t.Fatalf("%q: got %q, in one piece %q", log, got, whole)
		}
		for _, s := range secrets {
			if strings.Contains(whole, s) || len(whole) != len(log) {
				t.Fatalf("%q: %q", log, whole)
			}
		}
	}
}

func BenchmarkMasker(b *testing.B) {
	log := []byte(strings.Repeat("2026-03-01 12:00:00 epoch 12 loss 0.1234 accuracy 0.9876 on worker-3 of 8\n", chunk/74))
	for _, n := range []int{0, 10, 200} {
		var secrets []string
		for i := range n {
			secrets = append(secrets, fmt.Sprintf("%032x", uint64(i)*0x9e3779b97f4a7c15))
		}
		m := newMasker(secrets)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(log)))
			for b.Loop() {
				m.mask(log, true)
			}
		})
	}
}

func TestMask(t *testing.T) {
	a, b := "the token is s3cret-token.", "s3cret-toke"
	Mask([]string{"s3cret-token"}, &a, &b)
	Mask(nil, &a)
	if a != "the token is ************." || b != "s3cret-toke" {
		t.Errorf("%q, %q", a, b)
	}
}
