package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestBoard_pipe(t *testing.T) {
	var out bytes.Buffer
	b := newBoard(&out, false)
	b.begin("run r-1")
	b.show([]line{{"train", "running", 0.2, "epoch 1"}, {"pack", "queued", 0, ""}})
	b.show([]line{{"train", "succeeded", 1.25, "mse 2900"}, {"pack", "running", 0, ""}})
	b.show([]line{{"train", "succeeded", 1.25, "mse 2900"}, {"pack", "failed", 0.5, "no space left\nTraceback …"}})
	b.begin("release l-1") // another part: its lines begin anew
	b.show([]line{{"train", "cancelled", 0, "not reached"}})
	want := "run r-1\n" +
		"  succeeded train        1.2 s  mse 2900\n" +
		"  failed    pack         0.5 s  no space left …\n" +
		"release l-1\n" +
		"  cancelled train        not reached\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestBoard_terminal(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	var out bytes.Buffer
	b := newBoard(&out, false)
	b.width = 40
	b.begin("run r-1")
	b.show([]line{{"train", "running", 0, "epoch 1"}, {"pack", "queued", 0, ""}})
	if b.drawn != 2 || !strings.Contains(out.String(), "▸ train") || !strings.Contains(out.String(), "epoch 1") {
		t.Errorf("%d lines drawn: %q", b.drawn, out.String())
	}
	out.Reset()
	b.show([]line{{"train", "failed", 61.5, strings.Repeat("long ", 30)}, {"pack", "succeeded", 1, "sha256:0"}, {"gate", "waiting", 0, "ümläüt"}})
	text := out.String()
	if !strings.HasPrefix(text, "\x1b[2A") {
		t.Errorf("the board does not go back over its 2 lines: %q", text)
	}
	for _, l := range strings.Split(strings.TrimSuffix(strings.TrimPrefix(text, "\x1b[2A"), "\n"), "\n") {
		l = strings.TrimPrefix(l, "\r\x1b[2K")
		if n := len([]rune(l)); n >= 40 || strings.Contains(l, "\x1b") {
			t.Errorf("%d columns of 40, or colour: %q", n, l)
		}
	}
	if b.drawn != 3 || strings.Count(text, "\n") != 3 || !strings.Contains(text, "61.5 s") || !strings.Contains(text, "…") {
		t.Errorf("got %q", text)
	}
	out.Reset()
	b.begin("release l-1")
	b.show([]line{{"qa", "running", 0, ""}})
	if strings.Contains(out.String(), "A") {
		t.Errorf("a new part draws over the old one: %q", out.String())
	}
}

func TestBoard_colour(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	var out bytes.Buffer
	b := newBoard(&out, false)
	b.width = 80
	b.show([]line{{"train", "failed", 1, "why"}})
	if !strings.Contains(out.String(), "\x1b[31m") || !strings.Contains(out.String(), "\x1b[0m") {
		t.Errorf("got %q", out.String())
	}
}

func TestBoard_silent(t *testing.T) {
	var out bytes.Buffer
	b := newBoard(&out, true)
	b.begin("run r-1")
	b.show([]line{{"train", "succeeded", 1, ""}})
	if out.Len() != 0 {
		t.Errorf("with --json the board says %q", out.String())
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := table(&out, []string{"MODEL", "VERDICT", "RUN"}, [][]string{{"diabetes", "promoted", "r-1"}, {"größe", "", ""}}); err != nil {
		t.Fatal(err)
	}
	want := "MODEL     VERDICT   RUN\ndiabetes  promoted  r-1\ngröße\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	out.Reset()
	if err := table(&out, []string{"MODEL"}, nil); err != nil || out.String() != "MODEL\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestClip(t *testing.T) {
	for _, test := range []struct {
		text  string
		width int
		want  string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äöüß", 3, "äö…"}, {"abc", 0, "abc"}, {"", 5, ""}} {
		if got := clip(test.text, test.width); got != test.want {
			t.Errorf("%q to %d: %q, want %q", test.text, test.width, got, test.want)
		}
	}
	if got := oneLine("\n first \nsecond"); got != "first  …" && got != "first …" {
		t.Errorf("oneLine: %q", got)
	}
}
