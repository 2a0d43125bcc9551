// Package assets has the files that the pages load: the style sheet, and the
// scripts that npm bundles at make build.
//
// Their names have their content's hash in them, so a browser may keep them for
// ever. What the pages say is package ui's.
package assets

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed style.css icon.svg dist
var embedded embed.FS

// Prefix is where the files are.
const Prefix = "/ui/assets/"

type file struct {
	kind       string
	plain, zip []byte
}

// Files are what was embedded.
type Files struct {
	Style  string // address of the style sheet
	Icon   string
	Script string // of the script; empty when this program was built without it
	files  map[string]file
}

// Load names the embedded files, once.
var Load = sync.OnceValue(func() *Files {
	f := &Files{files: map[string]file{}}
	for _, name := range []string{"style.css", "icon.svg"} {
		text, _ := embedded.ReadFile(name) // it is embedded
		sum := sha256.Sum256(text)
		base, ext, _ := strings.Cut(name, ".")
		hashed := base + "-" + hex.EncodeToString(sum[:4]) + "." + ext
		f.add(hashed, text)
		if ext == "css" {
			f.Style = Prefix + hashed
		} else {
			f.Icon = Prefix + hashed
		}
	}
	scripts, _ := fs.Glob(embedded, "dist/*.js")
	for _, name := range scripts {
		text, _ := embedded.ReadFile(name)
		f.add(path.Base(name), text)
		if strings.HasPrefix(path.Base(name), "app-") {
			f.Script = Prefix + path.Base(name)
		}
	}
	return f
})

func (f *Files) add(name string, text []byte) {
	var zip bytes.Buffer
	w, _ := gzip.NewWriterLevel(&zip, gzip.BestCompression)
	_, _ = w.Write(text) // into memory
	_ = w.Close()
	f.files[name] = file{kind: mime.TypeByExtension(path.Ext(name)), plain: text, zip: zip.Bytes()}
}

// ScriptBytes is how much all scripts weigh, compressed.
func (f *Files) ScriptBytes() (n int) {
	for name, one := range f.files {
		if strings.HasSuffix(name, ".js") {
			n += len(one.zip)
		}
	}
	return n
}

// ServeHTTP answers below Prefix.
func (f *Files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	one, ok := f.files[strings.TrimPrefix(r.URL.Path, Prefix)]
	if !ok {
		http.Error(w, "no such file: the page that asks for it is of another version of Ridgeline, so load it again", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", one.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	body := one.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = one.zip
	}
	_, _ = w.Write(body)
}
