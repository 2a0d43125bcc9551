package ui

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/scope"
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
		if scope.Foreign(err) {
			u.Door.Strayed(r.Context(), p, r.Method, strings.Trim(r.URL.Path, "/"))
		}
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
	u.letIn(w, r, proof{what: "link", subject: "sign-in-links", secret: code, whose: u.Sessions.Whose, use: u.Sessions.Use}, next)
}

func (u *UI) signedIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	token := strings.TrimSpace(r.PostFormValue("token"))
	u.letIn(w, r, proof{what: "token", subject: "tokens", secret: token, whose: u.Auth.Principal, use: u.Sessions.SignIn}, local(r.PostFormValue("next")))
}

// A proof is what somebody signs in with.
type proof struct {
	what, subject string // in the audit trail
	secret        string
	whose         func(ctx context.Context, secret string, now time.Time) (auth.Principal, error)
	use           func(ctx context.Context, secret string, now time.Time) (session string, err error)
}

// signs starts a session, which the audit trail has by the same commit.
func (u *UI) signs(r *http.Request, by proof) (session string, err error) {
	now := time.Now().UTC()
	p, err := by.whose(r.Context(), by.secret, now)
	p.Via, p.Address = "page", auth.Address(r.RemoteAddr)
	if err == nil {
		e := ridgeline.AuditEvent{Who: p.Name, Via: p.Via, Address: p.Address, Action: "sign-in", Subject: by.subject, Reason: "by " + by.what}
		err = u.Store.Audited(r.Context(), e, func(ctx context.Context) error {
			session, err = by.use(ctx, by.secret, now)
			return err
		})
		return session, err
	}
	_, in := u.again(r)
	if again := in && by.what == "link"; !again && ridgeline.CodeOf(err) == ridgeline.Denied { // who is in opens a used link again: no failure
		u.Door.Failed(r.Context(), p, by.subject, now, err)
	}
	return "", err
}

// letIn answers a sign-in: with the session's cookie, or with what was wrong.
func (u *UI) letIn(w http.ResponseWriter, r *http.Request, by proof, next string) {
	if wait := u.Door.Wait(auth.Address(r.RemoteAddr), by.secret, time.Now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(auth.RetryAfter(wait)))
		u.write(w, r, http.StatusTooManyRequests, Page{Title: "Sign in", Still: true, Template: "sign-in", Body: signInPage{Problem: auth.TooMany(wait).Error(), Next: next}})
		return
	}
	secret, err := u.signs(r, by)
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
		if err := u.signsOut(r, cookie.Value); err != nil {
			u.fail(w, r, err)
			return
		}
	}
	u.setCookie(w, r, cookieName(r), "", -time.Second)
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

// signsOut ends the session, if it is one.
func (u *UI) signsOut(r *http.Request, session string) error {
	now := time.Now().UTC()
	p, in := u.again(r)
	if !in {
		return u.Sessions.SignOut(r.Context(), session, now)
	}
	e := ridgeline.AuditEvent{Who: p.Name, Via: p.Via, Address: p.Address, Action: "sign-out", Subject: "sessions"}
	return u.Store.Audited(r.Context(), e, func(ctx context.Context) error { return u.Sessions.SignOut(ctx, session, now) })
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
