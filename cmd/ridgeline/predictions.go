package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) predictions() *cobra.Command {
	var since, until, request, sql, export string
	var limit, status, version int
	cmd := &cobra.Command{
		Use: "predictions PROJECT [ENVIRONMENT]", Short: "Show what endpoints were asked and answered", Args: cobra.RangeArgs(1, 2),
		Long: `Predictions shows the inference log, the newest first: a line for each row of a request.

With --sql it answers one SELECT over the tables predictions (with the label that came later),
probes (smoke tests and mirrored requests, which are no predictions), collected (what the model's own code gave to a Collector) and feedback, for example
  ridgeline predictions wine --since 24h --sql "SELECT version, count(*), avg(latency_ms) FROM predictions GROUP BY 1"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f := api.PredictionFilter{Request: request, Status: status, Version: version}
			if len(args) == 2 {
				f.Environment = args[1]
			}
			var err error
			if f.Since, err = moment("since", since); err != nil {
				return err
			}
			if f.Until, err = moment("until", until); err != nil {
				return err
			}
			if limit < 1 || limit > 10_000 {
				return usage("--limit %d: expected 1 to 10000; --export FILE writes all", limit)
			}
			if export != "" {
				if sql != "" {
					return usage("--export writes whole rows; leave --sql out, and query the file")
				}
				return c.exportPredictions(cmd.Context(), args[0], f, export)
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			in := struct {
				api.PredictionFilter
				SQL   string `json:"sql,omitempty"`
				Limit int    `json:"limit"`
			}{f, sql, limit}
			a, err := api.Post[api.Answer](cmd.Context(), client, "/api/v1/projects/"+args[0]+"/predictions", in)
			if err != nil {
				return err
			}
			return c.showAnswer(a, sql == "")
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "", "from then on: 1h, 7d, or a time such as 2026-03-01T12:00:00Z")
	flags.StringVar(&until, "until", "", "before then")
	flags.StringVar(&request, "request", "", "of this request id only")
	flags.IntVar(&status, "status", 0, "with this HTTP status only; 4 or 5 for all of their hundred")
	flags.IntVar(&version, "version", 0, "of this version of the model only")
	flags.IntVar(&limit, "limit", 20, "rows at most")
	flags.StringVar(&sql, "sql", "", "a SELECT over predictions, probes, collected and feedback")
	flags.StringVar(&export, "export", "", "write all of it into this Parquet file")
	return cmd
}

// moment reads a time span back from now, or a time.
func moment(flag, text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		span := text
		if days, ok := strings.CutSuffix(text, "d"); ok {
			if n, err := strconv.ParseFloat(days, 64); err == nil {
				span = strconv.FormatFloat(24*n, 'f', -1, 64) + "h"
			}
		}
		d, err := time.ParseDuration(span)
		if err != nil || d < 0 {
			return nil, usage("--%s %q: expected a time span such as 1h or 7d, or a time such as 2026-03-01T12:00:00Z", flag, text)
		}
		at = time.Now().Add(-d)
	}
	return &at, nil
}

// showAnswer prints rows as JSON objects, or as a table; of predictions only
// the columns that say something.
func (c *cli) showAnswer(a api.Answer, compact bool) error {
	if c.json {
		out := make([]map[string]any, len(a.Rows))
		for i, row := range a.Rows {
			out[i] = map[string]any{}
			for k, v := range row {
				out[i][a.Columns[k]] = v
			}
		}
		return c.print(out)
	}
	head := a.Columns
	if compact {
		head = slices.DeleteFunc(slices.Clone(head), func(name string) bool {
			return !strings.HasPrefix(name, "input") && !strings.HasPrefix(name, "output") &&
				!slices.Contains([]string{"time", "request_id", "row", "environment", "version", "status", "error", "latency_ms", "request", "response", "label"}, name)
		})
		head = slices.DeleteFunc(head, func(name string) bool {
			k := slices.Index(a.Columns, name)
			return len(a.Rows) > 0 && !slices.ContainsFunc(a.Rows, func(row []any) bool { return row[k] != nil })
		})
	}
	var rows [][]string
	for _, row := range a.Rows {
		var cells []string
		for _, name := range head {
			cells = append(cells, cellText(name, row[slices.Index(a.Columns, name)]))
		}
		rows = append(rows, cells)
	}
	var titles []string
	for _, name := range head {
		titles = append(titles, strings.ToUpper(name))
	}
	if err := table(c.out, titles, rows); err != nil {
		return err
	}
	if a.More {
		fmt.Fprintf(c.out, "… and more: --limit shows more, --export FILE writes all\n")
	}
	return nil
}

func cellText(name string, v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil && name == "time" {
			return at.Local().Format("2006-01-02 15:04:05.000")
		}
		return short(strings.Join(strings.Fields(v), " "), 60)
	case float64:
		if name == "latency_ms" {
			return strconv.FormatFloat(v, 'f', 2, 64)
		}
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return short(string(text), 60)
}

func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}

func (c *cli) exportPredictions(ctx context.Context, project string, f api.PredictionFilter, file string) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	when := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	path := query("/api/v1/projects/"+project+"/predictions.parquet", "environment", f.Environment, "request", f.Request,
		"status", number(f.Status), "version", number(f.Version), "since", when(f.Since), "until", when(f.Until))
	out, err := os.CreateTemp(filepath.Dir(file), ".predictions-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	rows, err := client.Download(ctx, path, out)
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if err := os.Rename(out.Name(), file); err != nil {
		return err
	}
	if c.json {
		return c.print(map[string]any{"file": file, "rows": rows})
	}
	fmt.Fprintf(c.out, "%d rows in %s\n", rows, file)
	return nil
}

// labelBatch is how many labels are sent at once.
const labelBatch = 1000

func (c *cli) feedback() *cobra.Command {
	return &cobra.Command{
		Use: "feedback PROJECT [ENVIRONMENT] FILE", Short: "Tell an endpoint what turned out to be right", Args: cobra.RangeArgs(2, 3),
		Long: `Feedback sends the labels in FILE (- for standard input) to the endpoint of ENVIRONMENT (default:
production). FILE is CSV with the columns request_id and label, and row and at where they are
needed; or JSON: a list of {"request_id", "row", "label", "at"}, or one a line. A label belongs to a
row of a request (the first without row); the newest counts, so sending a file again is harmless.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			environment, file := "production", args[len(args)-1]
			if len(args) == 3 {
				environment = args[1]
			}
			text, err := readFile(file)
			if err != nil {
				return err
			}
			list, err := readLabels(file, text)
			if err != nil {
				return err
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			e, err := findEndpoint(cmd.Context(), client, args[0], environment)
			if err != nil {
				return err
			}
			accepted := 0
			for batch := range slices.Chunk(list, labelBatch) {
				n, err := sendLabels(cmd.Context(), client.HTTP, e, batch)
				if accepted += n; err != nil {
					return fmt.Errorf("after %d labels: %w (sending the file again is harmless)", accepted, err)
				}
			}
			if c.json {
				return c.print(map[string]any{"accepted": accepted})
			}
			fmt.Fprintf(c.out, "%d labels\n", accepted)
			return nil
		},
	}
}

// readLabels reads a file of labels; what they hold is checked by the server.
func readLabels(name string, text []byte) (list []json.RawMessage, err error) {
	trimmed := bytes.TrimSpace(text)
	switch {
	case len(trimmed) == 0:
		return nil, ridgeline.Errorf(ridgeline.Invalid, "%s is empty: expected CSV with request_id and label, or JSON", name)
	case trimmed[0] == '[':
		err = json.Unmarshal(trimmed, &list)
	case trimmed[0] == '{':
		for d := json.NewDecoder(bytes.NewReader(trimmed)); ; {
			var one json.RawMessage
			if err = d.Decode(&one); err != nil {
				break
			}
			list = append(list, one)
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	default:
		list, err = csvLabels(trimmed)
	}
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "%s: label %d: %w", name, len(list)+1, err)
	}
	return list, nil
}

// csvLabels reads a label as a number or a truth where it is one, else as text.
func csvLabels(text []byte) (list []json.RawMessage, err error) {
	r := csv.NewReader(bytes.NewReader(text))
	head, err := r.Read()
	if err != nil {
		return nil, err
	}
	for _, need := range []string{"request_id", "label"} {
		if !slices.Contains(head, need) {
			return nil, fmt.Errorf("the first line has no column %s: expected request_id,label or request_id,row,label,at", need)
		}
	}
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return list, err
		}
		one := map[string]any{}
		for i, cell := range cells {
			switch name := head[i]; {
			case name == "row" || name == "at":
				if cell == "" {
					continue
				}
				if n, err := strconv.Atoi(cell); err == nil && name == "row" {
					one[name] = n
					continue
				}
				one[name] = cell
			case name == "label" && json.Valid([]byte(cell)) && !strings.HasPrefix(cell, `"`):
				one[name] = json.RawMessage(cell)
			default:
				one[name] = cell
			}
		}
		raw, err := json.Marshal(one)
		if err != nil {
			return list, err
		}
		list = append(list, raw)
	}
}

func sendLabels(ctx context.Context, client *http.Client, e api.Endpoint, batch []json.RawMessage) (int, error) {
	body, err := json.Marshal(batch)
	if err != nil {
		return 0, err
	}
	address := strings.TrimSuffix(e.URL, "/score") + "/feedback"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+e.PrimaryKey)
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	var said struct {
		Accepted int    `json:"accepted"`
		Detail   string `json:"detail"`
	}
	if err := json.Unmarshal(answer, &said); err != nil || res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s answered %s: %s", address, res.Status, said.Detail)
	}
	return said.Accepted, nil
}
