package main

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) webhook() *cobra.Command {
	cmd := &cobra.Command{Use: "webhook", Short: "Tell other programs what happens here, signed, until they have taken it"}
	cmd.AddCommand(c.webhookAdd(), c.webhookList(), c.webhookShow(), c.webhookRemove(), c.webhookTest(), c.webhookRedeliver())
	return cmd
}

func (c *cli) webhookAdd() *cobra.Command {
	var project string
	var types []string
	var stdin bool
	cmd := &cobra.Command{
		Use: "add URL", Short: "Have an address told of events; the secret is shown this once", Args: cobra.ExactArgs(1),
		Example: `  ridgeline webhook add https://example.com/hook --project diabetes --types 'dev.ridgeline.run.*'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			secret := ""
			if stdin {
				text, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
				if err != nil && err != io.EOF {
					return fmt.Errorf("read the secret: %w", err)
				}
				if secret = strings.TrimSpace(text); secret == "" {
					return usage("--secret-stdin: nothing came on standard input")
				}
			}
			body := map[string]any{"url": args[0], "project": project, "types": types, "secret": secret}
			return post(cmd.Context(), c, "/api/v1/webhooks", body, func(w api.Webhook) error {
				fmt.Fprintf(c.out, "webhook %s tells %s\n", w.ID, w.URL)
				if !stdin {
					fmt.Fprintf(c.out, "its messages are signed with %s\n", w.Secret)
				}
				fmt.Fprintf(c.out, "try it: ridgeline webhook test %s\n", w.ID)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "only events of this project")
	cmd.Flags().StringSliceVar(&types, "types", nil, "only events of these types, with * for any characters (default: all)")
	cmd.Flags().BoolVar(&stdin, "secret-stdin", false, "read the secret (whsec_…) from standard input instead of having one made")
	return cmd
}

func (c *cli) webhookList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List webhooks, newest first",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return get(cmd.Context(), c, "/api/v1/webhooks", func(list []api.Webhook) error {
				var rows [][]string
				for _, w := range list {
					rows = append(rows, []string{w.ID, w.URL, w.Project, strings.Join(w.Types, " "), ago(w.Created)})
				}
				return table(c.out, []string{"WEBHOOK", "URL", "PROJECT", "TYPES", "CREATED"}, rows)
			})
		},
	}
}

func (c *cli) webhookShow() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show a webhook and what became of its last deliveries", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := query("/api/v1/webhooks/"+url.PathEscape(args[0]), "limit", strconv.Itoa(limit))
			return get(cmd.Context(), c, path, func(w api.Webhook) error {
				fmt.Fprintf(c.out, "webhook %s tells %s\n", w.ID, w.URL)
				var rows [][]string
				for _, d := range w.Deliveries {
					rows = append(rows, []string{d.ID, strings.TrimPrefix(d.Type, "dev.ridgeline."), d.Subject, delivered(d), code(d.Code), ago(d.Created), clip(oneLine(d.Message), 60)})
				}
				return table(c.out, []string{"DELIVERY", "TYPE", "SUBJECT", "STATE", "CODE", "CREATED", "MESSAGE"}, rows)
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "at most so many deliveries")
	return cmd
}

func delivered(d api.Delivery) string {
	if d.State == "pending" && d.Attempts > 0 {
		return fmt.Sprintf("pending after %d, again at %s", d.Attempts, d.Next.Local().Format("15:04:05"))
	}
	return d.State
}

func code(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func (c *cli) webhookRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Short: "End a webhook; what was still to be sent to it is not", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return post(cmd.Context(), c, "/api/v1/webhooks/"+url.PathEscape(args[0])+"/remove", nil, func(w api.Webhook) error {
				fmt.Fprintf(c.out, "webhook %s tells %s no longer\n", w.ID, w.URL)
				return nil
			})
		},
	}
}

func (c *cli) webhookTest() *cobra.Command {
	return &cobra.Command{
		Use: "test ID", Short: "Send a webhook an event that nothing caused", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.send(cmd, "/api/v1/webhooks/"+url.PathEscape(args[0])+"/test")
		},
	}
}

func (c *cli) webhookRedeliver() *cobra.Command {
	return &cobra.Command{
		Use: "redeliver DELIVERY", Short: "Send a delivery once more, whatever became of it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.send(cmd, "/api/v1/deliveries/"+url.PathEscape(args[0])+"/redeliver")
		},
	}
}

// send asks for a delivery and waits for what becomes of its first attempt.
func (c *cli) send(cmd *cobra.Command, path string) error {
	ctx := cmd.Context()
	client, err := c.client()
	if err != nil {
		return err
	}
	d, err := api.Post[api.Delivery](ctx, client, path, nil)
	patience := time.Now().Add(40 * time.Second) // an attempt ends after 30
	for err == nil && d.State == "pending" && d.Attempts == 0 && ctx.Err() == nil && time.Now().Before(patience) {
		sleep(ctx, 200*time.Millisecond)
		d, err = api.Get[api.Delivery](ctx, client, "/api/v1/deliveries/"+url.PathEscape(d.ID))
	}
	if err != nil {
		return err
	}
	if c.json {
		err = c.print(d)
	} else if d.State == "delivered" {
		fmt.Fprintf(c.out, "delivered: the answer was %d\n", d.Code)
	}
	if err == nil && d.State == "pending" && d.Attempts == 0 {
		return &exitError{exitFailed, fmt.Errorf("not sent yet: an older message about %s is tried first, see ridgeline webhook show", d.Subject)}
	}
	if err == nil && d.State != "delivered" {
		err = &exitError{exitFailed, fmt.Errorf("not delivered: %s; it is tried again for three days, see ridgeline webhook show", d.Message)}
	}
	return err
}
