package ui

import (
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
)

// pictures are the files that pages show as they are. What they are is told by
// their names, as what is in them is not to be trusted.
var pictures = map[string]string{".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp", ".svg": "image/svg+xml"}

// picture reports whether a page can show the file.
func picture(name string) bool { return pictures[strings.ToLower(path.Ext(name))] != "" }

// download sends somebody's file. It may hold anything, scripts too: a browser
// is to keep it, or to draw it as a picture, and to run nothing of it.
func (u *UI) download(w http.ResponseWriter, r *http.Request, name string, content io.Reader) {
	h := w.Header()
	kind, how := pictures[strings.ToLower(path.Ext(name))], "inline"
	if kind == "" {
		kind, how = "application/octet-stream", "attachment"
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType(how, map[string]string{"filename": path.Base(name)}))
	guard(h)
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	if _, err := io.Copy(w, content); err != nil && r.Context().Err() == nil {
		u.Log.Error("pages", "path", r.URL.Path, "error", err)
		panic(http.ErrAbortHandler) // so that half a file is not taken for a whole one
	}
}
