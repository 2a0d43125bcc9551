package kube

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// A signIn is the way to the API server by what the kubeconfig says now. One
// that is replaced, because the sign-in in it had expired, is read again
// without a restart. (Tokens and certificates that it only names as files, and
// a pod's own, are read anew by client-go itself.)
type signIn struct {
	opt  Options
	host string // the cluster's; another one takes a restart
	log  *slog.Logger

	mu    sync.Mutex
	stamp string // what the files looked like when they were read
	way   http.RoundTripper
}

func newSignIn(o Options, config *rest.Config, log *slog.Logger) (*signIn, error) {
	s := &signIn{opt: o, host: config.Host, log: log, stamp: stamp(o)}
	var err error
	s.way, err = rest.TransportFor(config)
	return s, err
}

// stamp changes when the kubeconfig does.
func stamp(o Options) string {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	files := rules.GetLoadingPrecedence()
	if o.Kubeconfig != "" {
		files = []string{o.Kubeconfig}
	}
	var b strings.Builder
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", f, info.ModTime().UnixNano(), info.Size())
		}
	}
	return b.String()
}

// RoundTrip implements http.RoundTripper.
func (s *signIn) RoundTrip(r *http.Request) (*http.Response, error) { return s.current().RoundTrip(r) }

// current reads the kubeconfig again when it has changed. One that cannot be
// used changes nothing.
func (s *signIn) current() http.RoundTripper {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := stamp(s.opt)
	if now == s.stamp {
		return s.way
	}
	config, _, err := load(s.opt)
	if err == nil && config.Host != s.host {
		err = fmt.Errorf("it names another cluster, %s: restart the server to go there", config.Host)
	}
	var way http.RoundTripper
	if err == nil {
		way, err = rest.TransportFor(config)
	}
	s.stamp = now
	if err != nil {
		s.log.Error("the kubeconfig has changed and cannot be used; the earlier one is", "error", err)
		return s.way
	}
	s.log.Info("the kubeconfig has changed and was read again")
	s.way = way
	return s.way
}
