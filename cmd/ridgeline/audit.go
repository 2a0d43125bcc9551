package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) audit() *cobra.Command {
	var since, who, action, subject, outcome, known string
	var verify bool
	var limit int
	cmd := &cobra.Command{
		Use: "audit", Short: "List who did what, and what was refused, newest first",
		Long: `Audit lists what people and programs did here or were refused, whichever way they came: by the command line, the API,
a page, git, MLflow, the registry or a forge's webhook, and who signed in or could not. It is for admins. What was done to one
release, version or endpoint is on its page, too.

With --verify it goes over the whole trail, which is a chain of hashes, and ends with code 1 when something was changed, taken
away or put in by hand. It tells the hash of the last link: note it elsewhere, and --known finds out later whether the end was
cut off, or everything was made anew.`,
		Example: `  ridgeline audit --since 7d --who ann
  ridgeline audit --subject models/diabetes
  ridgeline audit --outcome refused --json
  ridgeline audit --verify`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if verify || known != "" {
				return c.verifyAudit(cmd.Context(), known)
			}
			from, err := sinceTime(since, time.Now())
			if err != nil {
				return err
			}
			path := query("/api/v1/audit", "since", from, "who", who, "action", action, "subject", strings.Trim(subject, "/"), "outcome", outcome, "limit", strconv.Itoa(limit))
			return get(cmd.Context(), c, path, c.trail)
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "only since then: 24h or 7d ago, a date such as 2026-11-23, or a time in RFC 3339")
	cmd.Flags().StringVar(&who, "who", "", "only of this principal: a token's name, or admin")
	cmd.Flags().StringVar(&action, "action", "", "only of this action, such as promote")
	cmd.Flags().StringVar(&subject, "subject", "", "only what was done to this or below it, or made it: models/diabetes/versions/3, releases/l-…")
	cmd.Flags().StringVar(&outcome, "outcome", "", "only done, refused or failed")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many, up to 1000")
	cmd.Flags().BoolVar(&verify, "verify", false, "instead: is the whole trail what was written?")
	cmd.Flags().StringVar(&known, "known", "", "with --verify: a hash that it has told earlier, which has to be in the trail")
	return cmd
}

// verifyAudit says whether the trail is what was written; it is an error when it
// is not.
func (c *cli) verifyAudit(ctx context.Context, known string) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	check, err := api.Get[api.AuditCheck](ctx, client, query("/api/v1/audit/verification", "known", known))
	if err != nil {
		return err
	}
	var bad error
	if f := check.Fault; f != nil {
		event := ""
		if f.Event != "" {
			event = ", event " + f.Event
		}
		bad = ridgeline.Errorf(ridgeline.Conflict, "the audit trail is not what was written: link %d%s: %s. Whoever can write to the database can have done so: compare it with a backup", f.Link, event, f.Problem)
	}
	switch {
	case c.json:
		return errors.Join(c.print(check), bad)
	case bad != nil:
		return bad
	case check.Last == nil:
		fmt.Fprintln(c.out, "the audit trail is empty")
		return nil
	}
	fmt.Fprintf(c.out, "verified up to %s, %d entries: each is as it was written\n", check.Last.Local().Format(time.DateTime), check.Events)
	if check.Joined > 0 {
		fmt.Fprintf(c.out, "%d of them are older than the chain that proves it, and as they were when they joined it\n", check.Joined)
	}
	fmt.Fprintf(c.out, "the last link: %s\n", check.Hash)
	return nil
}

// sinceTime reads --since: a time span before now, a date in this zone, or a
// time.
func sinceTime(text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n < 1e5 {
			return now.Add(-time.Duration(n * 24 * float64(time.Hour))).UTC().Format(time.RFC3339), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d).UTC().Format(time.RFC3339), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at.UTC().Format(time.RFC3339), nil
		}
	}
	return "", usage("--since %s: expected a time span such as 24h or 7d, a date such as 2026-11-23, or a time such as 2026-11-23T08:00:00Z", text)
}

func (c *cli) trail(events []api.AuditEvent) error {
	var rows [][]string
	for _, e := range events {
		subject, result := e.Subject, e.Outcome
		if e.Made != "" {
			subject += " → " + e.Made
		}
		if e.Outcome == "failed" && e.Code != "" {
			result += " (" + e.Code + ")"
		}
		if e.Times > 1 {
			result += fmt.Sprintf(", %d times", e.Times)
		}
		rows = append(rows, []string{e.Time.Local().Format(time.DateTime), e.Who, e.Via, e.Address, e.Action, subject, result, clip(oneLine(e.Reason), 60)})
	}
	return table(c.out, []string{"WHEN", "WHO", "VIA", "FROM", "ACTION", "SUBJECT", "OUTCOME", "REASON"}, rows)
}
