package browser_test

import (
	"strings"
	"testing"
)

// A webhook by clicks: refused with the reason at its field, added with its
// secret shown once, and ended; the audit trail has all of it.
func TestTriggers(t *testing.T) {
	link, _ := serve(t)
	p := sit(t, link)
	p.goes("Settings", "Webhooks")
	p.acts("Add a webhook", "url", "http://10.0.0.1/hook", "types", "dev.ridgeline.run.*")
	p.reads("details.action[open] .problem", "10.0.0.1")
	p.until("what was typed is there still", func() bool {
		return asks[string](p, `document.querySelector('details.action[open] [name="types"]').value`) == "dev.ridgeline.run.*"
	})
	p.fills(`details.action[open] [name="url"]`, "https://192.88.99.1/hook")
	p.clicks("details.action[open] form button.button", "Add a webhook")
	p.sees("is shown this once", "whsec_", "dev.ridgeline.run.*", "No message yet")
	secret := asks[string](p, `document.querySelector(".banner code").innerText`)

	p.goes("Webhooks", "Endpoint keys")
	p.goes("https://192.88.99.1/hook", "No message yet")
	if strings.Contains(asks[string](p, `document.body.innerText`), secret) {
		t.Error("the secret is shown twice")
	}
	p.acts("Remove")
	p.sees("A webhook tells another program what happens here.")

	p.goes("Audit trail", "Everything that somebody did")
	p.sees("add-webhook", "remove-webhook", "refused")
	p.fills(`[name="action"]`, "remove-webhook")
	p.clicks("main form button", "Show")
	p.until("only one is left", func() bool {
		return p.at() != "/audit" && asks[int](p, `document.querySelectorAll("main tbody tr").length`) == 1
	})
	if text := asks[string](p, `document.body.innerText`); strings.Contains(text, secret) {
		t.Error("the audit trail has the secret")
	}
}
