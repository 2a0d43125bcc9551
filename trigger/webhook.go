package trigger

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/vault"
)

// Webhooks tell subscriptions of events: a CloudEvent 1.0 in structured mode,
// signed as Standard Webhooks 1.0 says (standardwebhooks.com). Make it with
// NewWebhooks.
type Webhooks struct {
	store    *store.Store
	vault    *vault.Vault
	networks Networks
	source   string
	client   *http.Client
}

// NewWebhooks makes webhooks whose events come from source, a URI.
func NewWebhooks(s *store.Store, v *vault.Vault, networks Networks, source string) *Webhooks {
	return &Webhooks{store: s, vault: v, networks: networks, source: source, client: networks.Client()}
}

// SecretPrefix is the start of a secret that signs webhooks. What follows is
// base64 of 24 to 64 bytes.
const SecretPrefix = "whsec_"

// Add makes a subscription and returns it with its secret in the clear: the
// given one, or, when that is empty, a new one. It is not shown again.
func (w *Webhooks) Add(ctx context.Context, sub ridgeline.Subscription, secret string) (ridgeline.Subscription, string, error) {
	if err := sub.Check(); err != nil {
		return sub, "", err
	}
	u, err := url.Parse(sub.URL)
	if err != nil {
		return sub, "", err
	}
	if err := w.networks.Look(ctx, u.Hostname()); err != nil {
		return sub, "", err
	}
	if secret == "" {
		var key [32]byte
		_, _ = rand.Read(key[:]) // never fails: crypto/rand
		secret = SecretPrefix + base64.StdEncoding.EncodeToString(key[:])
	}
	if err := CheckSecret(secret); err != nil {
		return sub, "", err
	}
	sub.Created = time.Now().UTC()
	if sub.ID, err = ridgeline.NewID("h", sub.Created, rand.Read); err != nil {
		return sub, "", err
	}
	if sub.Secret, err = w.vault.Seal([]byte(secret), about(sub.ID)); err != nil {
		return sub, "", err
	}
	return sub, secret, w.store.AddSubscription(ctx, sub)
}

// CheckSecret wants a secret that can sign webhooks.
func CheckSecret(secret string) error {
	if key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, SecretPrefix)); err != nil || len(key) < 24 || len(key) > 64 {
		return ridgeline.Errorf(ridgeline.Invalid, "a webhook's secret is %s and base64 of 24 to 64 bytes; leave it out to have one made", SecretPrefix)
	}
	return nil
}

func about(id string) string { return "webhook/" + id }

// Secrets are those of all webhooks, in the clear, for what must not show them.
// One that cannot be opened is left out.
func (w *Webhooks) Secrets(ctx context.Context) ([]string, error) {
	subs, err := w.store.Subscriptions(ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, sub := range subs {
		if plain, err := w.vault.Open(sub.Secret, about(sub.ID)); err == nil {
			all = append(all, strings.TrimPrefix(string(plain), SecretPrefix))
		}
	}
	return all, nil
}

// Test sends the webhook an event that nothing caused.
func (w *Webhooks) Test(ctx context.Context, id string) (ridgeline.Delivery, error) {
	return w.store.SendTest(ctx, id, w.message)
}

// Subscriber makes a delivery to each subscription that wants the event.
func (w *Webhooks) Subscriber(ctx context.Context, tx *store.Store, e ridgeline.Event) ([]ridgeline.Delivery, error) {
	subs, err := tx.Subscriptions(ctx)
	if err != nil || len(subs) == 0 {
		return nil, err
	}
	body, err := w.message(e)
	if err != nil {
		return nil, err
	}
	var all []ridgeline.Delivery
	for _, sub := range subs {
		if sub.Wants(e) {
			all = append(all, ridgeline.Delivery{Kind: ridgeline.DeliveryWebhook, Target: sub.ID, Body: body})
		}
	}
	return all, nil
}

// message is the event in the JSON format of CloudEvents 1.0.
func (w *Webhooks) message(e ridgeline.Event) ([]byte, error) {
	var sequence string // the extension of that name: orders as text what one source has sent
	if e.Seq > 0 {
		sequence = fmt.Sprintf("%019d", e.Seq)
	}
	return json.Marshal(struct {
		SpecVersion string          `json:"specversion"`
		ID          string          `json:"id"`
		Source      string          `json:"source"`
		Type        string          `json:"type"`
		Subject     string          `json:"subject"`
		Time        time.Time       `json:"time"`
		Sequence    string          `json:"sequence,omitempty"`
		ContentType string          `json:"datacontenttype"`
		Data        json.RawMessage `json:"data"`
	}{"1.0", e.ID, w.source, e.Type, e.Subject, e.At, sequence, "application/json", e.Data})
}

// Sender posts a delivery to its subscription's address.
func (w *Webhooks) Sender(ctx context.Context, d ridgeline.Delivery) (int, error) {
	sub, err := w.store.Subscription(ctx, d.Target)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return 0, &Refusal{Message: "the webhook was removed", Final: true}
	}
	if err != nil {
		return 0, err
	}
	req, err := w.request(ctx, sub, d, time.Now())
	if err != nil {
		return 0, err
	}
	res, err := w.client.Do(req)
	if err != nil {
		return 0, unwrapped(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 300))
	return res.StatusCode, answered(res, text, time.Now())
}

func (w *Webhooks) request(ctx context.Context, sub ridgeline.Subscription, d ridgeline.Delivery, now time.Time) (*http.Request, error) {
	secret, err := w.vault.Open(sub.Secret, about(sub.ID))
	if err != nil {
		return nil, err
	}
	signer, err := standardwebhooks.NewWebhook(string(secret))
	if err != nil {
		return nil, fmt.Errorf("use the secret of webhook %s: %w", sub.ID, err)
	}
	signature, err := signer.Sign(d.Event, now, d.Body)
	if err != nil {
		return nil, fmt.Errorf("sign delivery %s: %w", d.ID, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sub.URL, bytes.NewReader(d.Body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", "ridgeline")
	req.Header.Set(standardwebhooks.HeaderWebhookID, d.Event)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return req, nil
}

// unwrapped leaves the address out of an error: it may have a key in it.
func unwrapped(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Refusal{Message: "no answer within " + sendsFor.String()}
	}
	return err
}

// answered reads an answer as Standard Webhooks and the CloudEvents webhook
// specification tell senders to: 2xx is taken, 410 is taken for ever, 429 and
// 503 may say when to come back, all else is tried again.
func answered(res *http.Response, text []byte, now time.Time) error {
	if res.StatusCode/100 == 2 {
		return nil
	}
	r := &Refusal{Message: "answered " + res.Status, Final: res.StatusCode == http.StatusGone}
	if res.StatusCode/100 == 3 {
		r.Message += ": redirects are not followed, name the final address"
	} else if line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n"); line != "" && utf8.ValidString(line) {
		r.Message += ": " + line
	}
	after := res.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(after); err == nil && seconds > 0 {
		r.After = time.Duration(min(seconds, int(longestPause.Seconds()))) * time.Second
	} else if at, err := http.ParseTime(after); err == nil {
		r.After = at.Sub(now)
	}
	return r
}
