package ui

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// A sample is a page with made-up content: what tests look at, and what
// /_gallery shows.
type sample struct {
	Name string // such as run-failed
	Page Page
}

// galleryPage is every component, and the way to every sample.
type galleryPage struct {
	Samples []sample
	Now     time.Time
	Long    string
	Awkward string
}

// samples is every page in every state that looks different. sampleTime is
// when what they show happened: times are told relative to now, so that
// pictures stay the same.
func samples() []sample {
	all := []sample{
		{"error", Page{Title: "Not Found", Template: "error", Body: failure{http.StatusNotFound, "no run r-1kvwcxsttarexx", "/runs"}}},
		{"sign-in", Page{Title: "Sign in", Template: "sign-in", Body: signInPage{Next: "/"}}},
		{"sign-in-used", Page{Title: "Sign in", Template: "sign-in", Body: signInPage{Next: "/", Problem: "this link was used already: ridgeline sign-in prints another one"}}},
		{"models-empty", Page{Title: "Models", Nav: "models", Template: "models", Body: modelsPage{}}},
	}
	all = slices.Concat(all, homeSamples(), modelSamples(), gateSamples(), releaseSamples(), runSamples(), workSamples(), costSamples())
	for i := range all {
		all[i].Page.Still = true
	}
	return all
}

func now() time.Time { return time.Now().UTC() }

var sampleTime = now().Add(-time.Minute)

// Names as people give them.
const (
	awkward = `Ünïcode 模型 <b onmouseover="alert(1)">&amp; "quotes"`
	long300 = "a-name-without-any-place-to-break-it-"
)

func (u *UI) gallery(mux *http.ServeMux) {
	all := sync.OnceValue(samples) // some are large
	mux.Handle("GET /_gallery", u.page(func(context.Context, *http.Request) (Page, error) {
		return Page{Title: "Gallery", Still: true, Template: "gallery", Body: galleryPage{all(), sampleTime, strings.Repeat(long300, 8), awkward}}, nil
	}))
	mux.Handle("GET /_gallery/{sample}", u.page(func(_ context.Context, r *http.Request) (Page, error) {
		for _, s := range all() {
			if s.Name == r.PathValue("sample") {
				return s.Page, nil
			}
		}
		return Page{}, ridgeline.Errorf(ridgeline.NotFound, "no sample %s: /_gallery lists them", url.PathEscape(r.PathValue("sample")))
	}))
}
