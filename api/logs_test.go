package api

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestSearch(t *testing.T) {
	long := strings.Repeat("x", 3*searched)
	text := "first\r\nneedle one\n" + long + "needle beyond what is looked at\nneedle " + long + "\n\nthe last needle"
	var out bytes.Buffer
	if err := search(&out, strings.NewReader(text), "needle"); err != nil {
		t.Fatal(err)
	}
	want := "2:needle one\n4:needle " + strings.Repeat("x", told-len("needle ")) + "\n6:the last needle\n"
	if out.String() != want {
		t.Errorf("got %.200q… (%d bytes), want %.200q…", out.String(), out.Len(), want)
	}
	out.Reset()
	if err := search(&out, strings.NewReader("a\xffneedle\n"), "needle"); err != nil || out.String() != "1:a\uFFFDneedle\n" {
		t.Errorf("bytes that are no text: %q, %v", out.String(), err)
	}
	broken := io.MultiReader(strings.NewReader("needle\n"), failing{})
	if err := search(io.Discard, broken, "needle"); err == nil {
		t.Error("a log that cannot be read to its end is no error")
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, fmt.Errorf("the disk is gone") }
