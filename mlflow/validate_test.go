package mlflow

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// TestNames holds the classes of characters to the expressions that MLflow has,
// character by character.
func TestNames(t *testing.T) {
	key, alias := regexp.MustCompile(`^[/\p{L}\p{M}\p{N}_.\- :]*$`), regexp.MustCompile(`^[\p{L}\p{M}\p{N}_\-]*$`)
	run := regexp.MustCompile(`^[a-zA-Z0-9][\p{L}\p{N}_\-]{0,255}$`)
	for r := range rune(0x1_1000) {
		name := string(r)
		if key.MatchString(name) != only(name, inKey) || alias.MatchString(name) != only(name, inAlias) ||
			run.MatchString(name) != (checkRunID(name) == nil) || run.MatchString("a"+name) != (checkRunID("a"+name) == nil) {
			t.Fatalf("%U", r)
		}
	}
	for _, name := range []string{"", "a\x80", "\xff", strings.Repeat("a", 256), strings.Repeat("a", 257), "a" + strings.Repeat("é", 255), "a" + strings.Repeat("é", 256), string(unicode.MaxRune)} {
		if key.MatchString(name) != only(name, inKey) || run.MatchString(name) != (checkRunID(name) == nil) {
			t.Errorf("%.20q", name)
		}
	}
}
