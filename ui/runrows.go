package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// marksEvery is how far apart the marks in the order of a table are, in rows.
const marksEvery = 1000

// part adds the caller to what is fetched into a page that is shown already.
func (u *UI) part(load func(ctx context.Context, q url.Values) (text []byte, kind string, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r, ok := u.enter(w, r)
		if !ok {
			return
		}
		text, kind, err := load(r.Context(), r.URL.Query())
		if err != nil {
			u.fail(w, r, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Cache-Control", "no-store")
		guard(h)
		_, _ = w.Write(text)
	}
}

// runRows are rows of a table that is shown already, from the one of number row
// on: those that are skip behind the run before, with just the columns asked for.
func (u *UI) runRows(ctx context.Context, q url.Values) ([]byte, string, error) {
	body := newRunsPage(q)
	want, err := body.Chosen.filter()
	if err != nil {
		return nil, "", err
	}
	row, _ := strconv.Atoi(q.Get("row"))
	want.Upto, want.Before, want.Skip, want.Limit = body.Upto, ridgeline.RunID(q.Get("before")), body.First, body.Size
	rows, err := u.inOrder(ctx, body.Chosen, want)
	if err != nil {
		return nil, "", err
	}
	if body.Rows, err = u.runLines(ctx, rows, max(row, 0)); err != nil {
		return nil, "", err
	}
	body.Columns = columnsAsked(q)
	fillCells(body.Rows, body.Columns)
	text, err := u.renderPart("runs", "run-rows", body)
	return text, "text/html; charset=utf-8", err
}

// columnsAsked are the columns of a table that is shown already.
func columnsAsked(q url.Values) (all []column) {
	for _, key := range q["column"] {
		if _, name, ok := strings.Cut(key, "."); ok {
			all = append(all, column{Key: key, Name: name})
		}
	}
	return all
}

// runMarks is how many rows a table has, and where in it is what.
func (u *UI) runMarks(ctx context.Context, q url.Values) ([]byte, string, error) {
	body := newRunsPage(q)
	want, err := body.Chosen.filter()
	if err != nil {
		return nil, "", err
	}
	want.Upto, want.Before = body.Upto, ridgeline.RunID(q.Get("before"))
	total, marks, err := u.Store.RunMarks(ctx, want, body.Chosen.Sort, body.Chosen.Down, marksEvery)
	if err != nil {
		return nil, "", err
	}
	return rowMarks(total, marks)
}

// rowMarks tells the script of a table where in it is what.
func rowMarks[M ~string](total int, marks []M) ([]byte, string, error) {
	text, err := json.Marshal(struct {
		Total int `json:"total"`
		Every int `json:"every"`
		Marks []M `json:"marks"`
	}{total, marksEvery, marks})
	return text, "application/json", err
}

// renderPart makes a part of a page by itself.
func (u *UI) renderPart(page, name string, body any) ([]byte, error) {
	var out bytes.Buffer
	err := u.pages[page].ExecuteTemplate(&out, name, body)
	return out.Bytes(), err
}
