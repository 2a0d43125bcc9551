package words

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"quality", "tests", "coverage", "timeout"}
	for word, want := range map[string]string{"qualty": "quality", "Tests": "tests", "test": "tests", "timeuot": "timeout", "zzz": ""} {
		if got, _ := Nearest(word, known); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
	if d := levenshtein("kitten", "sitting"); d != 3 {
		t.Errorf("kitten, sitting: %d", d)
	}
}
