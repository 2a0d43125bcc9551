package ui

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/ui/assets"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// A View makes a page of what is there now.
type View func(ctx context.Context, r *http.Request) (Page, error)

// A Page is what one address shows.
type Page struct {
	Title   string // of the tab and the heading
	Nav     string // the entry of the navigation that it belongs to: see navigation
	Project ridgeline.ProjectName
	Crumbs  []components.Crumb
	// Busy says that something on it moves: it is made again each second. Else
	// it is made again when the feed of events goes on.
	Busy bool
	// Next is where a form leads to instead of to a page of its own.
	Next string
	// Still says that it never changes by itself.
	Still bool
	// Body is what its template shows, a struct. The template is the file of
	// that name in templates/pages.
	Template string
	Body     any
}

// entry is one of the navigation.
type entry struct {
	Nav, Title, URL, Key string
}

// navigation is what there is to see, in its order; Key goes there after g.
var navigation = []entry{
	{"home", "Home", "/", "h"},
	{"projects", "Projects", "/projects", "p"},
	{"builds", "Builds", "/builds", "b"},
	{"runs", "Runs", "/runs", "r"},
	{"models", "Models", "/models", "m"},
	{"releases", "Releases", "/releases", "l"},
	{"endpoints", "Endpoints", "/live", "e"},
	{"data", "Data", "/data", "d"},
	{"cost", "Cost", "/cost", "c"},
	{"settings", "Settings", "/settings", "s"},
}

// layout is what surrounds a page.
type layout struct {
	Page
	Navigation []entry
	Projects   []ridgeline.ProjectName
	Who        auth.Principal
	CanWrite   bool
	IsAdmin    bool
	Theme      string
	Assets     *assets.Files
	Version    string
	Here       string // the address of the page
	Live       string // hash of what is inside main; empty for a page that never changes
	Dev        bool
	Content    template.HTML // what is inside main
}

// content is a rendered part of a page, to be put into another.
func content(main []byte) template.HTML {
	return template.HTML(main) //nolint:gosec // a template has made it, and escaped what is in it
}

// With is the address of a navigation's entry, or of this page's list, for a
// project.
func (l layout) With(address string, p ridgeline.ProjectName) string {
	if p == "" {
		return address
	}
	return address + "?project=" + url.QueryEscape(string(p))
}

// Switched is where the choice of a project leads: to the same list, or home.
func (l layout) Switched(p ridgeline.ProjectName) string {
	for _, e := range l.Navigation {
		if here, _, _ := strings.Cut(l.Here, "?"); here == e.URL {
			return l.With(e.URL, p)
		}
	}
	return l.With("/", p)
}

//go:embed templates
var sources embed.FS

// templates has one set for each page: the components, the layout, and the
// page's own as body.
type templates map[string]*template.Template

func parse() (templates, error) {
	base, err := components.New()
	if err != nil {
		return nil, fmt.Errorf("read the components: %w", err)
	}
	if base, err = base.ParseFS(sources, "templates/*.html"); err != nil {
		return nil, fmt.Errorf("read the layout: %w", err)
	}
	names, err := fs.Glob(sources, "templates/pages/*.html")
	if err != nil {
		return nil, err
	}
	all := templates{}
	for _, name := range names {
		set, err := base.Clone()
		if err != nil {
			return nil, err
		}
		if set, err = set.ParseFS(sources, name); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		all[strings.TrimSuffix(path.Base(name), ".html")] = set
	}
	return all, nil
}

// render makes a part of the layout: "page", or "main" alone.
func (u *UI) render(part string, l layout) ([]byte, error) {
	set, ok := u.pages[l.Template]
	if !ok {
		return nil, fmt.Errorf("no template %q", l.Template)
	}
	var out bytes.Buffer
	if err := set.ExecuteTemplate(&out, part, l); err != nil {
		return nil, fmt.Errorf("render %s: %w", l.Template, err)
	}
	return out.Bytes(), nil
}

// around adds the layout to a page.
func (u *UI) around(r *http.Request, p Page) (layout, error) {
	who := auth.From(r.Context())
	l := layout{
		Page: p, Navigation: navigation, Who: who, CanWrite: who.Role.Allows(ridgeline.Writer), IsAdmin: who.Role.Allows(ridgeline.Admin),
		Theme: themeOf(r), Assets: assets.Load(), Version: u.Version, Here: here(r.URL), Dev: u.Dev,
	}
	if p.Project == "" {
		l.Project = ridgeline.ProjectName(r.URL.Query().Get("project"))
	}
	if who.Role == "" {
		return l, nil
	}
	projects, err := u.Store.Projects(r.Context())
	for _, p := range projects {
		if who.Scoped() && p.Name != who.Project {
			continue
		}
		l.Projects = append(l.Projects, p.Name)
	}
	return l, err
}

// here is the page's own address, without what only the stream needs.
func here(address *url.URL) string {
	q := address.Query()
	q.Del(liveParam)
	if len(q) == 0 {
		return address.EscapedPath()
	}
	return address.EscapedPath() + "?" + q.Encode()
}

// write renders a page into memory and sends it.
func (u *UI) write(w http.ResponseWriter, r *http.Request, status int, p Page) {
	l, err := u.around(r, p)
	var body []byte
	var main []byte
	if err == nil {
		main, err = u.render("content", l)
	}
	if err == nil {
		if l.Content = content(main); !p.Still {
			l.Live = hash(main)
		}
		body, err = u.render("page", l)
	}
	if err != nil {
		u.Log.Error("pages", "path", r.URL.Path, "error", err)
		http.Error(w, "an unexpected error occurred; the server's log has it", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	guard(h)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// guard sets what keeps a page to itself: its own scripts and styles, its own
// server, nobody's frame.
func guard(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// statuses is the HTTP spelling of the error codes.
var statuses = map[ridgeline.Code]int{
	ridgeline.Invalid:     http.StatusUnprocessableEntity,
	ridgeline.NotFound:    http.StatusNotFound,
	ridgeline.Conflict:    http.StatusConflict,
	ridgeline.Denied:      http.StatusForbidden,
	ridgeline.Unavailable: http.StatusServiceUnavailable,
	ridgeline.Internal:    http.StatusInternalServerError,
}

// failure is what a page that could not be made says instead.
type failure struct {
	Status int
	Text   string
	Back   string // where the way on is; empty: home
}

// fail answers with an error as a page.
func (u *UI) fail(w http.ResponseWriter, r *http.Request, err error) {
	code := ridgeline.CodeOf(err)
	f := failure{Status: statuses[code], Text: err.Error()}
	if code == ridgeline.Internal {
		u.Log.Error("pages", "path", r.URL.Path, "error", err)
		f.Text = "An unexpected error occurred; the server's log has it."
	}
	if back, err := url.Parse(r.Referer()); err == nil && back.Host == r.Host {
		f.Back = local(back.RequestURI())
	}
	u.write(w, r, f.Status, Page{Title: http.StatusText(f.Status), Still: true, Template: "error", Body: f})
}

// local is an address on this server, whatever was asked for.
func local(address string) string {
	at, err := url.Parse(address)
	if err != nil || at.IsAbs() || at.Host != "" || !strings.HasPrefix(address, "/") || strings.HasPrefix(address, "//") || strings.Contains(address, `\`) {
		return "/"
	}
	return address
}
