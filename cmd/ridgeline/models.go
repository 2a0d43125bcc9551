package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

func (c *cli) models() *cobra.Command {
	return &cobra.Command{
		Use: "models", Short: "List every version of every model, newest first",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return get(cmd.Context(), c, "/api/v1/models", c.versions)
		},
	}
}

func (c *cli) versions(list []api.ModelVersion) error {
	var rows [][]string
	for _, v := range list {
		champion := ""
		if v.Champion {
			champion = "champion"
		}
		rows = append(rows, []string{v.Name, strconv.Itoa(v.Version), champion, v.Verdict, v.Run, clip(v.Commit, 12), v.Source, ago(v.Created)})
	}
	return table(c.out, []string{"MODEL", "VERSION", "CHAMPION", "VERDICT", "RUN", "COMMIT", "SOURCE", "CREATED"}, rows)
}

func (c *cli) model() *cobra.Command {
	return &cobra.Command{
		Use: "model NAME[:VERSION]", Short: "Show a model's versions, or one version with its lineage", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, version, err := nameVersion(args[0])
			if err != nil {
				return err
			}
			path := "/api/v1/models/" + url.PathEscape(name) + "/versions"
			if version == 0 {
				return get(cmd.Context(), c, path, c.versions)
			}
			return get(cmd.Context(), c, path+"/"+strconv.Itoa(version), func(v api.ModelVersion) error {
				verdict := v.Verdict
				if verdict == "" {
					verdict = "not judged yet"
				}
				fmt.Fprintf(c.out, "%s version %d: %s", v.Name, v.Version, verdict)
				if v.Champion {
					fmt.Fprint(c.out, ", champion")
				}
				fmt.Fprintln(c.out)
				printRegistration(c.out, v)
				if v.Run != "" {
					fmt.Fprintf(c.out, "  run          %s\n  commit       %s\n  pipeline     %d\n  environment  %s\n  image        %s\n  artifact     sha256:%s (%d bytes)\n",
						v.Run, v.Commit, v.Pipeline, v.Environment, v.Image, v.Artifact, v.Size)
				}
				if v.Framework != "" {
					fmt.Fprintf(c.out, "  framework    %s\n", v.Framework)
				}
				printSignature(c.out, v.Signature)
				for _, name := range slices.Sorted(maps.Keys(v.Data)) {
					fmt.Fprintf(c.out, "  data         %s sha256:%s\n", name, v.Data[name])
				}
				for _, name := range slices.Sorted(maps.Keys(v.Params)) {
					fmt.Fprintf(c.out, "  parameter    %s=%s\n", name, v.Params[name])
				}
				for _, name := range slices.Sorted(maps.Keys(v.Metrics)) {
					fmt.Fprintf(c.out, "  metric       %s %.6g\n", name, v.Metrics[name])
				}
				for _, o := range v.Override {
					fmt.Fprintf(c.out, "  override     %s by %s at %s: %s\n", o.How, o.Who, o.At.Local().Format(time.DateTime), oneLine(o.Reason))
				}
				return nil
			})
		},
	}
}

// printRegistration shows what people and MLflow's clients say of a version.
func printRegistration(out io.Writer, v api.ModelVersion) {
	source := v.Source
	if v.URI != "" {
		source += ", by " + v.By + " from " + v.URI
	}
	for _, line := range [][2]string{
		{"source", source}, {"description", oneLine(v.Description)}, {"aliases", strings.Join(v.Aliases, ", ")}, {"stage", v.Stage}, {"MLflow run", v.TrackingRun},
	} {
		if line[1] != "" {
			fmt.Fprintf(out, "  %-12s %s\n", line[0], line[1])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(v.Tags)) {
		if !strings.HasPrefix(key, "ridgeline.") { // which is said below
			fmt.Fprintf(out, "  tag          %s=%s\n", key, oneLine(v.Tags[key]))
		}
	}
}

// nameVersion reads NAME or NAME:VERSION.
func nameVersion(text string) (name string, version int, err error) {
	name, number, has := strings.Cut(text, ":")
	if !has {
		return name, 0, nil
	}
	version, err = strconv.Atoi(strings.TrimPrefix(number, "v"))
	if err != nil || version < 1 {
		return "", 0, usage("%q: expected NAME or NAME:VERSION, such as diabetes:2", text)
	}
	return name, version, nil
}

// printSignature shows what a model takes and gives, a field each line.
func printSignature(out io.Writer, text []byte) {
	var s *tensor.Signature
	if json.Unmarshal(text, &s) != nil || s == nil {
		return
	}
	for _, list := range []struct {
		kind   string
		fields []tensor.Field
	}{{"input", s.Inputs}, {"output", s.Outputs}} {
		for _, f := range list.fields {
			shape := ""
			if len(f.Shape) > 0 {
				shape = " " + fmt.Sprint(f.Shape)
			}
			fmt.Fprintf(out, "  %-12s %s\n", list.kind, strings.TrimSpace(f.Name+" "+f.Type.String()+shape))
		}
	}
}
