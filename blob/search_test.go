package blob

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestSearchLines(t *testing.T) {
	long := strings.Repeat("x", 3*searched)
	text := "first\r\nneedle one\n" + long + "needle beyond what is looked at\nneedle " + long + "\n\nthe last needle"
	var out bytes.Buffer
	tell := func(n int, line string) error {
		_, err := fmt.Fprintf(&out, "%d:%s\n", n, line)
		return err
	}
	if err := SearchLines(strings.NewReader(text), "needle", tell); err != nil {
		t.Fatal(err)
	}
	want := "2:needle one\n4:needle " + strings.Repeat("x", told-len("needle ")) + "\n6:the last needle\n"
	if out.String() != want {
		t.Errorf("got %.200q… (%d bytes), want %.200q…", out.String(), out.Len(), want)
	}
	out.Reset()
	if err := SearchLines(strings.NewReader("a\xffneedle\n"), "needle", tell); err != nil || out.String() != "1:a\uFFFDneedle\n" {
		t.Errorf("bytes that are no text: %q, %v", out.String(), err)
	}
	broken := io.MultiReader(strings.NewReader("needle\n"), failing{})
	if err := SearchLines(broken, "needle", tell); err == nil {
		t.Error("a log that cannot be read to its end is no error")
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, fmt.Errorf("the disk is gone") }
