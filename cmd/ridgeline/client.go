package main

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
)

// client finds the server and the token: what is named, else what a server
// wrote into its state folder, else what a running demo wrote into its own.
func (c *cli) client() (*api.Client, error) {
	dir, err := c.stateDir()
	if err != nil {
		return nil, err
	}
	if c.dir == "" && !exists(filepath.Join(dir, "url")) && exists(filepath.Join(dir, "demo", "url")) {
		dir = filepath.Join(dir, "demo")
	}
	out := &api.Client{URL: c.server, Token: os.Getenv("RIDGELINE_TOKEN"), HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	if out.URL == "" {
		text, err := os.ReadFile(filepath.Join(dir, "url"))
		if err != nil {
			return nil, ridgeline.Errorf(ridgeline.Unavailable, "no server is known (%s has no file url): start one with ridgeline up, or name one with --server", dir)
		}
		out.URL = strings.TrimSpace(string(text))
	}
	if _, err := url.ParseRequestURI(out.URL); err != nil {
		return nil, usage("--server %q is not an address such as http://127.0.0.1:8470", out.URL)
	}
	if out.Token == "" {
		text, err := os.ReadFile(filepath.Join(dir, "token"))
		if err != nil {
			return nil, ridgeline.Errorf(ridgeline.Denied, "no token is known (%s has no file token): set RIDGELINE_TOKEN, or name the server's state folder with --dir", dir)
		}
		out.Token = strings.TrimSpace(string(text))
	}
	return out, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// get reads a list or a thing, and prints it as JSON or by text.
func get[T any](ctx context.Context, c *cli, path string, text func(T) error) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	v, err := api.Get[T](ctx, client, path)
	if err != nil {
		return err
	}
	if c.json {
		return c.print(v)
	}
	return text(v)
}

// post asks for something, and prints the answer as JSON or by text.
func post[T any](ctx context.Context, c *cli, path string, in any, text func(T) error) error {
	return ask(ctx, c, http.MethodPost, path, in, text)
}

// ask is post by any method.
func ask[T any](ctx context.Context, c *cli, method, path string, in any, text func(T) error) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	var v T
	if err := client.Do(ctx, method, path, in, &v); err != nil {
		return err
	}
	if c.json {
		return c.print(v)
	}
	return text(v)
}

// query adds what is set to a path.
func query(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}
