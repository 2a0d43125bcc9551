// Command shot takes pictures of the pages of a server that runs:
// shot -dir OUT -link SIGN-IN-LINK PATH…, in both themes and for a desk and a
// phone. It tells what the browser complained of, and which page is too wide.
//
// The browser is package browser's.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/ridgeline-mlops/ridgeline/test/browser"
)

func main() {
	dir := flag.String("dir", "docs/screenshots", "where to")
	link := flag.String("link", "", "a link to sign in with, as ridgeline sign-in prints it")
	themes := flag.String("themes", "light,dark", "which")
	widths := flag.String("widths", "1440,390", "of the window")
	flag.Parse()
	if err := run(*dir, *link, *themes, *widths, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "shot:", err)
		os.Exit(1)
	}
}

func run(dir, link, themes, widths string, paths []string) error {
	at, err := url.Parse(link)
	if err != nil {
		return err
	}
	b, done, err := browser.Open(context.Background(), at.Scheme+"://"+at.Host)
	if err != nil {
		return err
	}
	defer done()
	if err := b.Go(at.RequestURI()); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, theme := range strings.Split(themes, ",") {
		if err := b.Theme(theme == "dark"); err != nil {
			return err
		}
		for _, width := range strings.Split(widths, ",") {
			var w int64
			_, _ = fmt.Sscan(width, &w)
			if err := b.Size(w, 900); err != nil {
				return err
			}
			for _, path := range paths {
				if err := b.Go(path); err != nil {
					return err
				}
				png, err := b.Picture()
				if err != nil {
					return err
				}
				if png, err = browser.Small(png); err != nil {
					return err
				}
				if px, err := b.Overflow(); err != nil || px > 0 {
					fmt.Printf("%s at %s: %d px too wide %v\n", path, width, px, err)
				}
				for _, c := range b.Complaints() {
					fmt.Printf("%s: %s\n", path, c)
				}
				name := strings.NewReplacer("_gallery/", "", "/", "-", "?", "-", "=", "-", "&", "-").Replace(strings.Trim(path, "/"))
				if name == "" {
					name = "home"
				}
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%s-%s.png", name, width, theme)), png, 0o644); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
