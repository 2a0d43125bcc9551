package ui

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/trigger"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// webhookPage is one webhook with what became of its last messages.
type webhookPage struct {
	ridgeline.Subscription
	Shown      string // its secret, this once
	Deliveries []ridgeline.Delivery
}

// mostDeliveries is how many a page lists.
const mostDeliveries = 50

func (u *UI) webhooks(mux *http.ServeMux) {
	mux.Handle("GET /settings/webhooks/{id}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		if who := auth.From(ctx); !who.Role.Allows(ridgeline.Admin) {
			return Page{}, ridgeline.Errorf(ridgeline.Denied, "%s is a %s; webhooks need an admin", who.Name, who.Role)
		}
		return u.webhookPage(ctx, r.PathValue("id"))
	}))
	mux.Handle("POST /settings/webhooks", u.answers("add-webhook", http.StatusCreated, ridgeline.Admin, u.addWebhook))
	mux.Handle("POST /settings/webhooks/{id}/remove", u.act("remove-webhook", ridgeline.Admin, func(ctx context.Context, r *http.Request) (string, error) {
		if _, err := u.Store.Subscription(ctx, r.PathValue("id")); err != nil {
			return "", err
		}
		return "/settings#webhooks", u.Store.RemoveSubscription(ctx, r.PathValue("id"))
	}))
	mux.Handle("POST /settings/webhooks/{id}/test", u.act("test-webhook", ridgeline.Admin, func(ctx context.Context, r *http.Request) (string, error) {
		_, err := u.Webhooks.Test(ctx, r.PathValue("id"))
		return components.Path("settings", "webhooks", r.PathValue("id")), err
	}))
	mux.Handle("POST /settings/deliveries/{id}/redeliver", u.act("redeliver", ridgeline.Admin, func(ctx context.Context, r *http.Request) (string, error) {
		d, err := u.Store.Redeliver(ctx, r.PathValue("id"), time.Now())
		return components.Path("settings", "webhooks", d.Target), err
	}))
}

func (u *UI) webhookPage(ctx context.Context, id string) (Page, error) {
	sub, err := u.Store.Subscription(ctx, id)
	if err != nil {
		return Page{}, err
	}
	body := webhookPage{Subscription: sub}
	body.Deliveries, err = u.Store.Deliveries(ctx, store.Target{Kind: ridgeline.DeliveryWebhook, Name: id}, mostDeliveries)
	busy := len(body.Deliveries) > 0 && body.Deliveries[0].State == ridgeline.DeliveryPending
	return Page{
		Title: "Webhook", Nav: "settings", Project: sub.Project, Busy: busy, Template: "webhook", Body: body,
		Crumbs: []components.Crumb{{Text: "Settings", URL: "/settings"}, {Text: "Webhooks", URL: "/settings#webhooks"}, {Text: sub.ID}},
	}, err
}

// addWebhook answers with the webhook's page, on which its secret is to be seen
// this once; or with the form again, what is wrong beside its field.
func (u *UI) addWebhook(ctx context.Context, r *http.Request) (Page, error) {
	sub := ridgeline.Subscription{
		URL: strings.TrimSpace(r.PostFormValue("url")), Project: ridgeline.ProjectName(r.PostFormValue("project")),
		Types: strings.FieldsFunc(r.PostFormValue("types"), func(c rune) bool { return c == ',' || c <= ' ' }), Caller: auth.From(ctx).Name,
	}
	secret := strings.TrimSpace(r.PostFormValue("secret"))
	added, shown, err := u.Webhooks.Add(ctx, sub, secret)
	if err != nil {
		return u.settingsAgain(ctx, webhookProblem(sub, secret), r, err)
	}
	store.ActOf(ctx).Made("webhooks/" + added.ID)
	p, err := u.webhookPage(ctx, added.ID)
	if body, ok := p.Body.(webhookPage); ok && secret == "" { // else whoever asks knows it
		body.Shown = shown
		p.Body, p.Still = body, true
	}
	return p, err
}

// webhookProblem is the field that a refused webhook was refused for.
func webhookProblem(sub ridgeline.Subscription, secret string) string {
	const fine = "https://example.com/hook"
	switch {
	case (ridgeline.Subscription{URL: sub.URL}).Check() != nil:
		return "url"
	case (ridgeline.Subscription{URL: fine, Types: sub.Types}).Check() != nil:
		return "types"
	case secret != "" && trigger.CheckSecret(secret) != nil:
		return "secret"
	}
	return "url" // where it leads to
}

// NewWebhook is the action that adds one.
func (p settingsPage) NewWebhook() components.Action {
	a := components.NewAction("Add a webhook", "/settings/webhooks", "Another program is told what happens here, by signed messages, until it has taken them. The secret that signs them is shown once.",
		components.NewCLI("webhook", "add", "URL"), "primary")
	project := components.Input{Name: "project", Label: "Events of", Choices: [][2]string{{"", "all projects"}}}
	for _, name := range p.Projects {
		project.Choices = append(project.Choices, [2]string{string(name), string(name)})
	}
	a.Inputs = []components.Input{
		{Name: "url", Label: "Address", Hint: "https://example.com/hook", Required: true}, project,
		{Name: "types", Label: "Types", Note: "with * for any letters; none: all", Hint: "dev.ridgeline.run.*"},
		{Name: "secret", Label: "Secret", Note: "none: a new one is made", Hint: trigger.SecretPrefix + "…", Type: "password"},
	}
	return p.filled(a)
}

// TestIt sends the webhook a message that nothing caused.
func (p webhookPage) TestIt() components.Action {
	return components.NewAction("Test", components.Path("settings", "webhooks", p.ID, "test"), "An event that nothing caused is sent to it.", components.NewCLI("webhook", "test", p.ID), "primary")
}

// End removes the webhook.
func (p webhookPage) End() components.Action {
	return components.NewAction("Remove", components.Path("settings", "webhooks", p.ID, "remove"), "It is told nothing any more; what was still to be sent is not.", components.NewCLI("webhook", "remove", p.ID), "danger")
}

// Again sends a message once more.
func (webhookPage) Again(d ridgeline.Delivery) components.Action {
	return components.NewAction("Send again", components.Path("settings", "deliveries", d.ID, "redeliver"), "It is sent once more, whatever became of it.", components.NewCLI("webhook", "redeliver", d.ID))
}
