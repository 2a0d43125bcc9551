package blob

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// What a search of lines looks at and tells of one line, in bytes.
const (
	searched = 1 << 20
	told     = 4 << 10
)

// SearchLines calls found with the lines of r that contain the text, and their
// numbers from 1, until found returns an error, which it returns. However long
// the log or a line of it, it holds little: of a line, the first MiB is looked
// at and 4 KiB are told, as valid UTF-8.
func SearchLines(r io.Reader, text string, found func(number int, line string) error) error {
	in, wanted := bufio.NewReaderSize(r, searched), []byte(text)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if bytes.Contains(line, wanted) {
			shown := strings.ToValidUTF8(string(bytes.TrimRight(line[:min(len(line), told)], "\r\n")), "\uFFFD")
			if err := found(n, shown); err != nil {
				return err
			}
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
