package kube

import (
	"context"
	"errors"
	"net"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/ridgeline-mlops/ridgeline"
)

// classify gives what the API server refused its code, and says what to do.
func classify(err error, doing, title, name string) error {
	if err == nil {
		return nil
	}
	what := doing + " " + title + " " + name
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case apierrors.IsNotFound(err):
		if status := apierrors.APIStatus(nil); errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == "namespaces" {
			return ridgeline.Errorf(ridgeline.Invalid, "%s: the namespace does not exist: make it (kubectl create namespace), or name another one in the server's settings: %w", what, err)
		}
		return ridgeline.Errorf(ridgeline.NotFound, "%s: %w", what, err)
	case apierrors.IsUnauthorized(err):
		// Unavailable: what waits for the cluster goes on when it is renewed.
		return ridgeline.Errorf(ridgeline.Unavailable, "%s: the cluster refused the sign-in; it may have expired: renew the kubeconfig, it is read again: %w", what, err)
	case quota(err):
		return ridgeline.Errorf(ridgeline.Invalid, "%s: the namespace's quota is used up: ask for less under resources, or have the quota raised: %w", what, err)
	case apierrors.IsForbidden(err):
		return ridgeline.Errorf(ridgeline.Denied, "%s: this sign-in may not: bind it to the role that `ridgeline kube manifests` prints: %w", what, err)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return ridgeline.Errorf(ridgeline.Invalid, "%s: %w", what, err)
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return ridgeline.Errorf(ridgeline.Conflict, "%s: %w", what, err)
	case apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err), apierrors.IsInternalError(err),
		errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return ridgeline.Errorf(ridgeline.Unavailable, "%s: the cluster's API server does not answer: %w", what, err)
	}
	return ridgeline.Errorf(ridgeline.Internal, "%s: %w", what, err)
}

func quota(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota")
}
