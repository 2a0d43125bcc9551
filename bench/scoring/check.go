package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

// checks is how many requests each connection of a check sends.
const checks = 4

// check sends rows that differ from request to request over so many connections,
// and counts the answers that are not 200 or not those rows' predictions. The
// first one is described on stderr.
func check(ctx context.Context, s *side, t truth, connections, rows int) (int, error) {
	d := dialects[s.dialect]
	transport := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	var wrong atomic.Int64
	var first sync.Once
	var all sync.WaitGroup
	for c := range connections {
		all.Go(func() {
			for n := range checks {
				from := ((c*checks + n) * 7) % (len(t.Inputs) - rows)
				inputs, want := t.Inputs[from:from+rows], t.Predictions[from:from+rows]
				if s.dialect == "echo" {
					want = flatten(inputs)
				}
				if err := ask(ctx, client, s, d, inputs, want); err != nil {
					wrong.Add(1)
					first.Do(func() { fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err) })
				}
			}
		})
	}
	all.Wait()
	return int(wrong.Load()), ctx.Err()
}

func ask(ctx context.Context, client *http.Client, s *side, d dialect, inputs [][]float64, want []float64) error {
	body, err := json.Marshal(d.body(inputs))
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if s.key != "" {
		r.Header.Set("Authorization", "Bearer "+s.key)
	}
	got, err := client.Do(r)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		return err
	}
	if got.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s: %.300s", got.Status, text)
	}
	var answer any
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("answered %.300s: %w", text, err)
	}
	for _, member := range d.answer {
		switch v := answer.(type) {
		case map[string]any:
			answer = v[member]
		case []any:
			if n, err := strconv.Atoi(member); err == nil && n < len(v) {
				answer = v[n]
			}
		}
	}
	values := flatten(answer)
	if len(values) != len(want) {
		return fmt.Errorf("answered %d values to %d: %.300s", len(values), len(want), text)
	}
	for i, v := range values {
		if math.Abs(v-want[i]) > 1e-6*math.Max(1, math.Abs(want[i])) {
			return fmt.Errorf("value %d is %v, expected %v", i, v, want[i])
		}
	}
	return nil
}

// flatten is all numbers of lists of lists, in their order.
func flatten(v any) []float64 {
	switch v := v.(type) {
	case float64:
		return []float64{v}
	case []any:
		var out []float64
		for _, one := range v {
			out = append(out, flatten(one)...)
		}
		return out
	case [][]float64:
		var out []float64
		for _, one := range v {
			out = append(out, one...)
		}
		return out
	}
	return nil
}
