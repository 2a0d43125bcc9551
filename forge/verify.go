package forge

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// vouched is a delivery that proved to come from its forge.
type vouched struct {
	id     string    // the forge's own for this delivery; nothing vouches for it
	digest string    // of what is vouched for: the same digest is the same delivery
	at     time.Time // when it was sent, where that is signed, too
}

// clockSkew is how far a signed time of sending may be away, as Standard
// Webhooks recommends.
const clockSkew = 5 * time.Minute

// verify proves that whoever sent the request knows the remote's secret. The
// error says for the log what was wrong; the sender is not told. All
// comparisons take the same time whatever is compared.
func verify(f ridgeline.Forge, secret []byte, h http.Header, body []byte, now time.Time) (vouched, error) {
	switch f {
	case ridgeline.GitHub: // docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
		return signed(secret, body, h.Get("X-Hub-Signature-256"), "sha256=", h.Get("X-GitHub-Delivery"))
	case ridgeline.Gitea: // docs.gitea.com/usage/webhooks; Forgejo has both names
		signature, id := h.Get("X-Gitea-Signature"), h.Get("X-Gitea-Delivery")
		if signature == "" {
			signature, id = h.Get("X-Forgejo-Signature"), h.Get("X-Forgejo-Delivery")
		}
		return signed(secret, body, signature, "", id)
	case ridgeline.Bitbucket: // support.atlassian.com/bitbucket-cloud/docs/manage-webhooks; Data Center names the id otherwise
		id := h.Get("X-Request-UUID")
		if id == "" {
			id = h.Get("X-Request-Id")
		}
		return signed(secret, body, h.Get("X-Hub-Signature"), "sha256=", id)
	case ridgeline.GitLab:
		if h.Get("Webhook-Signature") != "" {
			return signedStandard(secret, h, body, now)
		}
		return gitlabToken(secret, h, body)
	case ridgeline.AzureDevOps:
		return azurePassword(secret, h, body)
	}
	return vouched{}, fmt.Errorf("unknown forge %q", f)
}

// signed checks HMAC-SHA256 over the body, in hex. The id is in a header that
// nobody signs, so the digest is of the body alone.
func signed(secret, body []byte, signature, prefix, id string) (vouched, error) {
	if signature == "" {
		return vouched{}, errors.New("it is not signed: give the webhook its secret on the forge")
	}
	text, ok := strings.CutPrefix(signature, prefix)
	got, err := hex.DecodeString(text)
	if !ok || err != nil {
		return vouched{}, errors.New("the signature is malformed")
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	if !hmac.Equal(got, mac.Sum(nil)) {
		return vouched{}, errors.New("the signature is wrong: the secret here is not the forge's, or the body was changed on its way")
	}
	return vouched{id: id, digest: digest(body)}, nil
}

// signedStandard checks a signature of Standard Webhooks
// (standardwebhooks.com), which GitLab sends when the webhook has a signing
// token: HMAC-SHA256 over id, time and body.
func signedStandard(secret []byte, h http.Header, body []byte, now time.Time) (vouched, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(secret), "whsec_"))
	if err != nil {
		return vouched{}, errors.New("it is signed by a signing token, but the secret here is none: store the one that begins with whsec_")
	}
	id, stamp := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || id == "" {
		return vouched{}, errors.New("webhook-id or webhook-timestamp is missing or malformed")
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.", id, stamp)
	mac.Write(body)
	want := mac.Sum(nil)
	right := 0
	for signature := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		text, ok := strings.CutPrefix(signature, "v1,")
		got, err := base64.StdEncoding.DecodeString(text)
		if ok && err == nil {
			right |= subtle.ConstantTimeCompare(got, want)
		}
	}
	at := time.Unix(seconds, 0)
	switch {
	case right == 0:
		return vouched{}, errors.New("the signature is wrong: the signing token here is not the forge's, or the request was changed on its way")
	case now.Sub(at).Abs() > clockSkew:
		return vouched{}, fmt.Errorf("it was signed at %s, more than %s from now: a replay, or one of the two clocks is wrong", at.UTC().Format(time.RFC3339), clockSkew)
	}
	return vouched{id: id, digest: digest([]byte(id)), at: at}, nil // sent again it has the same id and another time
}

// gitlabToken compares the secret itself, which GitLab sends with each request
// (X-Gitlab-Token). Nothing vouches for the body, but that only somebody who
// knows the secret has sent it.
func gitlabToken(secret []byte, h http.Header, body []byte) (vouched, error) {
	token := h.Get("X-Gitlab-Token")
	if token == "" {
		return vouched{}, errors.New("it has neither a signature nor X-Gitlab-Token: give the webhook its secret on the forge")
	}
	if subtle.ConstantTimeCompare([]byte(token), secret) != 1 {
		return vouched{}, errors.New("X-Gitlab-Token is not the secret stored here")
	}
	id := h.Get("Idempotency-Key") // stays the same when it is sent again
	if id == "" {
		id = h.Get("X-Gitlab-Event-UUID")
	}
	return vouched{id: id, digest: digest([]byte(id + "\n" + string(body)))}, nil
}

// azurePassword compares the password of basic authentication: the service
// hooks of Azure DevOps sign nothing
// (learn.microsoft.com/azure/devops/service-hooks/services/webhooks).
func azurePassword(secret []byte, h http.Header, body []byte) (vouched, error) {
	_, password, ok := (&http.Request{Header: h}).BasicAuth()
	if !ok {
		return vouched{}, errors.New("it has no basic authentication: give the service hook the secret as its password")
	}
	if subtle.ConstantTimeCompare([]byte(password), secret) != 1 {
		return vouched{}, errors.New("the password is not the secret stored here")
	}
	return vouched{digest: digest(body)}, nil // the body has an id of its own
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
