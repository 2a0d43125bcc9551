package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// A line is one thing under way, as a board shows it.
type line struct {
	name    string
	status  string
	seconds float64
	detail  string // what it said last, or how it ended
}

// A board shows what is under way: in a terminal it redraws itself, in a pipe
// it prints each line once it has ended.
type board struct {
	out     io.Writer
	width   int // of the terminal; 0 when there is none
	drawn   int
	printed map[string]string
	title   string
}

// newBoard makes a board on out, or a silent one.
func newBoard(out io.Writer, silent bool) *board {
	b := &board{out: out, printed: map[string]string{}}
	if silent {
		b.out = io.Discard
		return b
	}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			b.width = w
		}
	}
	return b
}

// begin starts a new part under a title; what was drawn stays.
func (b *board) begin(title string) {
	b.drawn = 0
	b.title = title
	clear(b.printed)
	fmt.Fprintln(b.out, b.paint("1", title))
}

// show shows the part's lines as they are now.
func (b *board) show(lines []line) {
	if b.width == 0 {
		for _, l := range lines {
			if b.printed[l.name] != l.status && ended(l.status) {
				b.printed[l.name] = l.status
				fmt.Fprintf(b.out, "  %-9s %-12s %s%s\n", l.status, l.name, took(l), oneLine(l.detail))
			}
		}
		return
	}
	var s strings.Builder
	if b.drawn > 0 {
		fmt.Fprintf(&s, "\x1b[%dA", b.drawn)
	}
	for _, l := range lines {
		mark, colour := "·", "2"
		switch l.status {
		case "running", "waiting":
			mark, colour = "▸", "36"
		case "succeeded":
			mark, colour = "✓", "32"
		case "cached":
			mark, colour = "=", "32"
		case "skipped":
			mark = "–"
		case "failed":
			mark, colour = "✗", "31"
		case "cancelled":
			mark = "–"
		}
		head := fmt.Sprintf("  %s %-12s %8s  ", mark, l.name, seconds(l))
		detail := clip(oneLine(l.detail), b.width-len([]rune(head))-1)
		fmt.Fprintf(&s, "\r\x1b[2K%s%s\n", b.paint(colour, head), b.paint("2", detail))
	}
	b.drawn = len(lines)
	fmt.Fprint(b.out, s.String())
}

func (b *board) paint(code, text string) string {
	if b.width == 0 || os.Getenv("NO_COLOR") != "" || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func ended(status string) bool {
	return status == "succeeded" || status == "failed" || status == "cancelled" || status == "cached" || status == "skipped"
}

func seconds(l line) string {
	if l.seconds == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f s", l.seconds)
}

func took(l line) string {
	if l.seconds == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f s  ", l.seconds)
}

func oneLine(text string) string {
	first, rest, more := strings.Cut(strings.TrimSpace(text), "\n")
	if more && rest != "" {
		first += " …"
	}
	return first
}

func clip(text string, width int) string {
	runes := []rune(text)
	if width < 1 || len(runes) <= width {
		return text
	}
	return string(runes[:width-1]) + "…"
}

// table prints rows under a head, in columns as wide as they need to be.
func table(out io.Writer, head []string, rows [][]string) error {
	width := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for _, row := range append([][]string{head}, rows...) {
		var s strings.Builder
		for i, cell := range row {
			s.WriteString(cell)
			if i < len(row)-1 {
				s.WriteString(strings.Repeat(" ", width[i]-len([]rune(cell))+2))
			}
		}
		if _, err := fmt.Fprintln(out, strings.TrimRight(s.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}
