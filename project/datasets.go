package project

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline/internal/words"
)

func (r *reader) data(n *yaml.Node) []Dataset {
	if n == nil {
		return nil
	}
	var list []Dataset
	for _, e := range r.entries(n, "data", "a map from a dataset's name to its path") {
		r.checkName(e.key, "dataset", e.name)
		list = append(list, r.dataset(e))
	}
	return list
}

func datasetNames(data []Dataset) []string {
	names := make([]string, len(data))
	for i, d := range data {
		names[i] = d.Name
	}
	return names
}

func (r *reader) dataset(e entry) Dataset {
	what := "data." + clip(e.name, 60)
	d := Dataset{Name: e.name, Holdout: Holdout{Fraction: 0.2}}
	if e.value.Kind == yaml.ScalarNode {
		d.Path = r.source(e.value, what)
		return d
	}
	f := r.section(e.value, what, "path", "target", "holdout", "checks", "watch")
	if !f.has("path") && e.value.Kind == yaml.MappingNode {
		r.at(e.key, "%s: path is missing: add for example `path: data/%s.csv`", what, clip(e.name, 40))
	}
	d.Path = r.source(f.value("path"), what+".path")
	d.Target = r.text(f.value("target"), what+".target", "progression")
	d.Checks = r.file(f.value("checks"), what+".checks", "checks.yaml", false)
	if h := f.value("holdout"); h != nil {
		hf := r.section(h, what+".holdout", "fraction", "key")
		d.Holdout.Fraction = r.share(hf.value("fraction"), what+".holdout.fraction", 0.2, 1)
		d.Holdout.Key = r.texts(hf.value("key"), what+".holdout.key", "id")
	}
	d.Watch = r.duration(f.value("watch"), what+".watch", 0)
	switch {
	case d.Watch == 0 || d.Path == "":
	case !d.Remote():
		r.at(f.at["watch"].key, "%s.watch: %s is a part of the project, which changes by a push: remove watch, or give an absolute path or an address", what, d.Path)
	case d.Watch < time.Second:
		r.at(f.value("watch"), "%s.watch: expected 1s or more, such as 5m, got %s", what, d.Watch)
	}
	return d
}

// sources are the schemes of addresses that data is read from.
var sources = []string{"http", "https", "s3", "azblob", "gs"}

// source reads where a dataset is: a file, folder or pattern of the project or
// of the machine, or an address.
func (r *reader) source(n *yaml.Node, what string) string {
	const example = "data/rows.csv"
	s := r.text(n, what, example)
	switch {
	case s == "":
		return ""
	case strings.Contains(s, "://"):
		return r.address(n, what, "s3://bucket/folder/*.parquet", sources...)
	case strings.HasPrefix(s, "~"):
		r.at(n, "%s: %q: the server has another home folder: write the whole path", what, clip(s, 60))
		return ""
	case len(s) > 2 && s[1] == ':' && (s[2] == '\\' || s[2] == '/'):
		r.at(n, "%s: %q: expected a path with / in front, such as /srv/data/rows.csv", what, clip(s, 60))
		return ""
	}
	if IsPattern(s) && !doublestar.ValidatePattern(s) {
		r.at(n, "%s: %q is no pattern: ** stands for any number of folders, * for any text without a /, ? for one letter, [a-c] for one of them", what, clip(s, 60))
		return ""
	}
	if strings.HasPrefix(s, "/") {
		return path.Clean(s)
	}
	if IsPattern(s) {
		clean := r.inside(n, what, example, false)
		if clean != "" {
			r.files = append(r.files, fileRef{node: n, what: what, path: clean, pattern: true})
		}
		return clean
	}
	return r.file(n, what, example, true)
}

// secretKeys are parts of an address that let somebody in.
var secretKeys = []string{
	"sig", "token", "access_token", "password", "secret", "key", "apikey", "api_key", "accesskey", "access_key", "secret_key", "account_key",
	"awsaccesskeyid", "signature", "x-amz-signature", "x-amz-security-token", "x-goog-signature", "x-amz-credential",
}

// address reads a URL of one of the schemes. Credentials in it are refused:
// a project is for many eyes, and is kept for ever.
func (r *reader) address(n *yaml.Node, what, example string, schemes ...string) string {
	s := r.text(n, what, example)
	if s == "" {
		return ""
	}
	scheme, rest, found := strings.Cut(s, "://")
	u, err := url.Parse(s)
	const where = "take it out of the file: the server has credentials in its own environment (docs/data.md; docs/environments.md for packages)"
	switch {
	case !found:
		r.at(n, "%s: %q: expected an address, such as %s", what, clip(s, 60), example)
	case scheme == "file":
		r.at(n, "%s: write the path itself, such as %s", what, clip("/"+strings.TrimLeft(rest, "/"), 60))
	case !slices.Contains(schemes, scheme):
		r.at(n, "%s: an address that begins with %s:// cannot be read: %s", what, clip(scheme, 20), words.DidYouMean(scheme, schemes))
	case err != nil: // whose text may hold a password
		r.at(n, "%s: this is no address: write it as %s", what, example)
	case u.User != nil:
		r.at(n, "%s: the address holds a name or a password: %s", what, where)
	case secretIn(u.RawQuery) != "":
		r.at(n, "%s: the address holds a credential, %s: %s", what, secretIn(u.RawQuery), where)
	case u.Host == "":
		r.at(n, "%s: %q names no host or bucket: write it as %s", what, clip(s, 60), example)
	case u.Fragment != "" || strings.ContainsAny(s, " \t\n"):
		r.at(n, "%s: %q: an address has no spaces and no #", what, clip(s, 60))
	case !doublestar.ValidatePattern(u.Path):
		r.at(n, "%s: %q is no pattern: ** stands for any number of folders, * for any text without a /, [a-c] for one of them", what, clip(s, 60))
	default:
		return s
	}
	return ""
}

// secretIn names a part of the query that is a credential.
func secretIn(query string) string {
	for part := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(part, "=")
		if slices.Contains(secretKeys, strings.ToLower(key)) {
			return clip(key, 40)
		}
	}
	return ""
}
