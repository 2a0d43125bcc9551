package forge

import (
	"context"
	"net/http"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Trial is one thing that Test looked at.
type Trial struct {
	Name    string `json:"name" enum:"fetch,statuses,webhook"`
	OK      bool   `json:"ok"`
	Message string `json:"message"`
}

// Test looks whether a remote can be fetched from, whether its token is taken
// by the forge's API, and whether its webhook has called.
func (h *Hub) Test(ctx context.Context, remote ridgeline.Remote) ([]Trial, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	f, err := h.fetch(remote)
	if err != nil {
		return nil, err
	}
	out := []Trial{{Name: "fetch", OK: true, Message: "the repository can be read"}}
	if err := h.withHosts(ctx, func() error { return f.Reach(ctx) }); err != nil {
		out[0].OK, out[0].Message = false, err.Error()
	}
	out = append(out, h.testAPI(ctx, remote, f.Access.Token))
	last, err := h.Store.LastDelivery(ctx, remote.Project, remote.Name)
	switch {
	case ridgeline.CodeOf(err) == ridgeline.NotFound:
		out = append(out, Trial{Name: "webhook", Message: "it has not called yet: add it on the forge, with the address " + h.URL + HookPath(remote.Project, remote.Name) + " (see ridgeline remote show " + remote.Name + ")"})
	case err != nil:
		return nil, err
	default:
		out = append(out, Trial{Name: "webhook", OK: true, Message: "it called last at " + last.At.Format(time.RFC3339)})
	}
	return out, nil
}

func (h *Hub) testAPI(ctx context.Context, remote ridgeline.Remote, token string) Trial {
	out := Trial{Name: "statuses"}
	if token == "" {
		out.Message = "no statuses are reported: the remote has no token (--token-file)"
		return out
	}
	a, err := apiOf(remote)
	if err != nil {
		out.Message = err.Error()
		return out
	}
	address := a.base + a.path
	if remote.Forge == ridgeline.AzureDevOps {
		address += "?api-version=7.1"
	}
	if _, err := h.ask(ctx, remote, token, http.MethodGet, address, nil); err != nil {
		out.Message = "the forge's API at " + a.base + " does not take the token: " + err.Error()
		return out
	}
	out.OK, out.Message = true, "the forge's API takes the token"
	return out
}
