package server

import (
	"bytes"
	"context"
	"net/http"
	"regexp"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

// imageRE is what is named in the registry once it is pushed, or deleted: an
// image by a tag or its digest, or a layer
// (https://github.com/opencontainers/distribution-spec, end-7, end-9, end-10).
var imageRE = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs)/([^/]+)$`)

// images keeps in the audit trail what is pushed to the registry and deleted
// there, before the answer goes. Layers that are sent are nothing until an image
// names them.
func (s *Server) images(registry http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		image := imageRE.FindStringSubmatch(r.URL.Path)
		if image == nil || r.Method != http.MethodPut && r.Method != http.MethodDelete {
			registry.ServeHTTP(w, r)
			return
		}
		late := &late{ResponseWriter: w, status: http.StatusOK}
		registry.ServeHTTP(late, r)
		e := pushed(r, image, late)
		if _, err := s.options.Door.Trail.NoteAudit(context.WithoutCancel(r.Context()), e); err != nil {
			s.options.Log.Error("the audit trail lacks an event", "who", e.Who, "action", e.Action, "subject", e.Subject, "error", err)
		}
		late.send()
	})
}

// pushed is what the registry has done.
func pushed(r *http.Request, image []string, answer *late) ridgeline.AuditEvent {
	who := auth.From(r.Context())
	e := ridgeline.AuditEvent{
		Who: who.Name, Via: who.Via, Address: who.Address, Action: "push-image", Subject: "images/" + image[1], Reason: image[3], Outcome: ridgeline.AuditDone,
	}
	if r.Method == http.MethodDelete {
		e.Action = map[string]string{"manifests": "delete-image", "blobs": "delete-layer"}[image[2]]
	}
	if digest := answer.Header().Get("Docker-Content-Digest"); digest != "" && digest != image[3] {
		e.Reason = strings.Join([]string{image[3], digest}, " ")
	}
	if answer.status >= http.StatusBadRequest {
		e.Outcome, e.Code = ridgeline.AuditFailed, ridgeline.Invalid
		switch {
		case answer.status == http.StatusNotFound:
			e.Code = ridgeline.NotFound
		case answer.status >= http.StatusInternalServerError:
			e.Code = ridgeline.Internal
		}
	}
	return e
}

// A late answer is held until it may go. Those to the requests above have a few
// lines at most.
type late struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (l *late) WriteHeader(status int)      { l.status = status }
func (l *late) Write(p []byte) (int, error) { return l.body.Write(p) }

func (l *late) send() {
	l.ResponseWriter.WriteHeader(l.status)
	_, _ = l.body.WriteTo(l.ResponseWriter)
}
