package gc

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/ridgeline-mlops/ridgeline"
)

var (
	hexRun = regexp.MustCompile(`[0-9a-f]{64,}`)
	// The flow engine keeps values as base64, which may be of JSON that has base64
	// in it, and so on.
	base64Run = regexp.MustCompile(`[A-Za-z0-9+/]{86,}={0,2}`)
)

const maxDepth = 4

// mentions calls found for every sha256 in a text, 64 hex digits wherever they
// are: more than there are is harmless, fewer would lose something.
func mentions(text []byte, depth int, found func(digest)) {
	for _, run := range hexRun.FindAll(text, -1) {
		for i := 0; i+64 <= len(run); i++ { // two that touch are both meant
			if d, ok := parse(string(run[i : i+64])); ok {
				found(d)
			}
		}
	}
	if depth == maxDepth {
		return
	}
	for _, run := range base64Run.FindAll(text, -1) {
		plain := make([]byte, base64.StdEncoding.DecodedLen(len(run)))
		n, _ := base64.StdEncoding.Decode(plain, run) // what is no base64 gives what it gave until then
		mentions(plain[:n], depth+1, found)
	}
}

// read looks for mentions in a content that begins as JSON does. One that is not
// there mentions nothing.
func (c *Collector) read(ctx context.Context, digest string, found func(digest)) error {
	content, err := c.Blob.Seek(ctx, digest) // read to the end it would be verified, which takes longer
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for what a content refers to: %w", err)
	}
	defer content.Close()
	r := bufio.NewReaderSize(content, 1<<16)
	switch first, err := r.Peek(1); {
	case errors.Is(err, io.EOF) || ridgeline.CodeOf(err) == ridgeline.NotFound:
		return nil
	case err != nil:
		return fmt.Errorf("look for what content %s refers to: %w", digest, err)
	case first[0] != '{' && first[0] != '[':
		return nil
	}
	const overlap = 63
	var held []byte // the end of the piece before, where a digest may have begun
	for piece := make([]byte, 1<<16); ; {
		n, err := r.Read(piece)
		held = append(held, piece[:n]...)
		mentions(held, maxDepth, found)
		held = append(held[:0], held[max(0, len(held)-overlap):]...)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("look for what content %s refers to: %w", digest, err)
		}
	}
}
