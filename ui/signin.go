package ui

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

// cookieName has the port in it: cookies know none, and two servers on one
// machine would sign each other's users out.
func cookieName(r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil || strings.Trim(port, "0123456789") != "" {
		port = ""
	}
	return "ridgeline" + port
}

// caller finds who is signed in.
func (u *UI) again(r *http.Request) (auth.Principal, bool) {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return auth.Principal{}, false
	}
	p, err := u.Sessions.Principal(r.Context(), cookie.Value, time.Now())
	if err != nil && ridgeline.CodeOf(err) != ridgeline.Denied {
		u.Log.Error("sign-in", "error", err)
	}
	p.Via, p.Address = "page", auth.Address(r.RemoteAddr)
	return p, err == nil
}

// enter lets a caller in who is signed in, and sends others to sign in; programs,
// which could not, are refused. Who came by a project's token is held to it.
func (u *UI) enter(w http.ResponseWriter, r *http.Request) (*http.Request, bool) {
	p, ok := u.again(r)
	if !ok && !strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("WWW-Authenticate", `Basic realm="ridgeline"`)
		http.Error(w, "not signed in: a page is for a browser with a session; the API takes tokens, and / says where it is", http.StatusUnauthorized)
		return r, false
	}
	if !ok {
		next := here(r.URL)
		if r.Method != http.MethodGet {
			next = "/"
		}
		http.Redirect(w, r, "/sign-in?"+url.Values{"next": {next}}.Encode(), http.StatusSeeOther)
		return r, false
	}
	r = r.WithContext(auth.With(r.Context(), p))
	held, err := u.Scope.Hold(r)
	if err != nil {
		u.fail(w, r, err)
		return r, false
	}
	return held, true
}

// signInPage is how to get in.
type signInPage struct {
	Problem string
	Next    string
}

// signIn uses the link that the terminal has shown, or asks for a token.
func (u *UI) signIn(w http.ResponseWriter, r *http.Request) {
	code, next := r.URL.Query().Get("code"), local(r.URL.Query().Get("next"))
	if code == "" {
		u.write(w, r, http.StatusOK, Page{Title: "Sign in", Still: true, Template: "sign-in", Body: signInPage{Next: next}})
		return
	}
	if r.Header.Get("Sec-Purpose") != "" { // a browser that guesses where its user will go must not use the link up
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	secret, err := u.Sessions.Use(r.Context(), code, time.Now().UTC())
	u.letIn(w, r, secret, next, err)
}

func (u *UI) signedIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	secret, err := u.Sessions.SignIn(r.Context(), strings.TrimSpace(r.PostFormValue("token")), time.Now().UTC())
	u.letIn(w, r, secret, local(r.PostFormValue("next")), err)
}

// letIn answers a sign-in: with the session's cookie, or with what was wrong.
func (u *UI) letIn(w http.ResponseWriter, r *http.Request, secret, next string, err error) {
	switch {
	case ridgeline.CodeOf(err) == ridgeline.Denied:
		if _, ok := u.again(r); ok { // who is in already opened a used link: no harm
			http.Redirect(w, r, next, http.StatusSeeOther)
			return
		}
		u.write(w, r, http.StatusForbidden, Page{Title: "Sign in", Still: true, Template: "sign-in", Body: signInPage{Problem: err.Error(), Next: next}})
	case err != nil:
		u.fail(w, r, err)
	default:
		u.setCookie(w, r, cookieName(r), secret, auth.SessionLife)
		http.Redirect(w, r, next, http.StatusSeeOther)
	}
}

func (u *UI) signOut(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(cookieName(r)); err == nil {
		if err := u.Sessions.SignOut(r.Context(), cookie.Value, time.Now().UTC()); err != nil {
			u.fail(w, r, err)
			return
		}
	}
	u.setCookie(w, r, cookieName(r), "", -time.Second)
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

// setCookie sets a cookie that scripts cannot read and other sites' forms do
// not send. Behind TLS it never travels in the clear.
func (u *UI) setCookie(w http.ResponseWriter, r *http.Request, name, value string, life time.Duration) {
	secure := r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(life.Seconds()), HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	})
}

const themeCookie = "ridgeline-theme"

// themeOf is the theme that the reader has chosen.
func themeOf(r *http.Request) string {
	cookie, err := r.Cookie(themeCookie)
	if err == nil && (cookie.Value == "light" || cookie.Value == "dark") {
		return cookie.Value
	}
	return "system"
}

// theme remembers a choice of theme. It needs no sign-in: it tells nothing and
// changes nothing but the look.
func (u *UI) theme(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	u.setCookie(w, r, themeCookie, cmp.Or(r.PostFormValue("theme"), "system"), 365*24*time.Hour)
	http.Redirect(w, r, local(r.PostFormValue("next")), http.StatusSeeOther)
}
