package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/data"
)

func (c *cli) dataAdd(of aboutDataset) *cobra.Command {
	var detach bool
	cmd := &cobra.Command{
		Use: "add NAME FILE|FOLDER|URL…", Short: "Deliver data to a dataset: files of this machine, or an address that the server fetches",
		Long: `Add delivers one file, one folder, several files, or one address (http(s)://, s3://, azblob://,
gs://) to a dataset. What the server has already is not sent again, so an interrupted add goes on
where it was when it is repeated. The delivery is checked with the project's checks.yaml: what
passes is in use from then on, and starts the pipeline where pipeline.on.data names the dataset;
what does not goes into quarantine.

Exit codes: 0 in use, 1 in quarantine or failed, 2 wrong usage.`,
		Example: "  ridgeline data add sales march.csv\n  ridgeline data add sales s3://shop/2026/03/", Args: cobra.MinimumNArgs(2),
		RunE: of(func(cmd *cobra.Command, path string, args []string) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			body, err := c.delivery(cmd.Context(), client, args[1:])
			if err != nil {
				return err
			}
			a, err := api.Post[api.Arrival](cmd.Context(), client, path+"/"+url.PathEscape(args[0])+"/arrivals", body)
			if err != nil {
				return err
			}
			if !detach {
				if a, err = c.followArrival(cmd.Context(), client, a.ID); err != nil {
					return err
				}
			}
			if c.json || detach {
				return c.ended(a)
			}
			return c.arrived(a)
		}),
	}
	cmd.Flags().BoolVar(&detach, "detach", false, "do not wait for the checks; print the arrival as JSON")
	return cmd
}

// delivery sends what the server does not have and says what it is made of.
func (c *cli) delivery(ctx context.Context, client *api.Client, sources []string) (any, error) {
	if strings.Contains(sources[0], "://") {
		if len(sources) > 1 {
			return nil, usage("one address at a time: name a folder or a glob for many files")
		}
		return map[string]string{"address": sources[0]}, nil
	}
	body := struct {
		Single bool                    `json:"single,omitempty"`
		Files  []ridgeline.DatasetFile `json:"files"`
	}{}
	from := map[string]string{} // name in the dataset → file here
	for _, source := range sources {
		m, err := data.Manifest(source)
		if err != nil {
			return nil, err
		}
		if len(sources) > 1 && !m.Single {
			return nil, usage("%s is a folder: deliver one folder, or several files", source)
		}
		body.Single = m.Single && len(sources) == 1
		for _, f := range m.Files {
			path := source
			if !m.Single {
				path = filepath.Join(source, filepath.FromSlash(f.Name))
			}
			if from[f.Name] != "" {
				return nil, usage("two files are named %s", f.Name)
			}
			from[f.Name] = path
			body.Files = append(body.Files, f)
		}
	}
	var known int
	for _, f := range body.Files {
		sent, err := client.PutBlob(ctx, f.Digest, func() (io.ReadCloser, error) { return os.Open(from[f.Name]) })
		if err != nil {
			return nil, fmt.Errorf("send %s: %w", f.Name, err)
		}
		if !sent {
			known++
		}
	}
	if known > 0 && !c.json {
		fmt.Fprintf(c.err, "%d of %d files were there already\n", known, len(body.Files))
	}
	return body, nil
}

func (c *cli) dataGet(of aboutDataset) *cobra.Command {
	return &cobra.Command{
		Use: "get NAME[:VERSION] DIR", Short: "Fetch a version's files into a folder",
		Args: cobra.ExactArgs(2),
		RunE: of(func(cmd *cobra.Command, path string, args []string) error {
			at, err := datasetVersion(path, args[0])
			if err != nil {
				return err
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			d, err := fetchVersion(cmd.Context(), client, at, args[1])
			if err != nil {
				return err
			}
			if c.json {
				return c.print(map[string]any{"dataset": d.Name, "version": d.Version, "dir": args[1], "files": len(d.Files), "size": d.Size})
			}
			fmt.Fprintf(c.out, "%s:%d: %d files in %s\n", d.Name, d.Version, len(d.Files), args[1])
			return nil
		}),
	}
}

// fetchVersion brings a version's files into a folder, each whole or not at
// all, and verified. Files that are there already with the right content stay.
func fetchVersion(ctx context.Context, client *api.Client, at, dir string) (api.DatasetDetail, error) {
	d, err := api.Get[api.DatasetDetail](ctx, client, at)
	if err != nil {
		return d, err
	}
	at = at[:strings.LastIndex(at, "/")+1] + fmt.Sprint(d.Version) // current may be another one by now
	for _, f := range d.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.Name)) {
			return d, ridgeline.Errorf(ridgeline.Invalid, "the server names a file %q, which would lie outside of %s", f.Name, dir)
		}
		if err := fetchFile(ctx, client, at+"/files/"+(&url.URL{Path: f.Name}).EscapedPath(), f, filepath.Join(dir, filepath.FromSlash(f.Name))); err != nil {
			return d, fmt.Errorf("fetch %s: %w", f.Name, err)
		}
	}
	return d, nil
}

func fetchFile(ctx context.Context, client *api.Client, at string, f ridgeline.DatasetFile, to string) error {
	if digest, _, err := data.Digest(to); err == nil && digest == f.Digest {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := client.DatasetFile(ctx, at)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to + ".partial")
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), in)
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != f.Digest {
		return ridgeline.Errorf(ridgeline.Unavailable, "it arrived with sha256 %s instead of %s: fetch it again", got, f.Digest)
	}
	return os.Rename(to+".partial", to)
}
