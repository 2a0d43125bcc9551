package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/host/kube"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// fewBytes is how little disk is too little: one environment of scikit-learn
// and its image.
const fewBytes = 2 << 30

func (c *cli) doctor() *cobra.Command {
	var cluster bool
	var settings, database, bucket string
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look whether this machine, and the cluster, have what Ridgeline needs",
		Long: `Doctor looks at this machine: Python, uv, git, disk, the port, the clock, the database and the
settings; with --blob, whether objects can be written, listed, read and deleted in the bucket. With
--kube it looks at the cluster of the settings, too: sign-in, rights, metrics-server, quota, clock,
the gateway there, and whether each node can pull from the registry. Each line that fails says what
to do; then the exit code is 1.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := c.stateDir()
			if err != nil {
				return err
			}
			list := c.examine(cmd.Context(), dir, cmp.Or(database, "sqlite:"+filepath.Join(dir, "ridgeline.db")))
			if bucket != "" {
				list = append(list, probed(cmd.Context(), bucket))
			}
			named := settings != ""
			s, err := project.LoadSettings(cmp.Or(settings, filepath.Join(dir, project.SettingsName)), named)
			if err != nil {
				list = append(list, kube.Finding{Check: "settings", Message: err.Error(), Fix: "mend these lines of the settings"})
			}
			if cluster && err == nil {
				list = append(list, c.examineCluster(cmd.Context(), dir, s)...)
			}
			return c.findings(list)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&cluster, "kube", false, "the Kubernetes cluster, too")
	flags.StringVar(&settings, "settings", os.Getenv("RIDGELINE_SETTINGS"), "file of the server's settings (RIDGELINE_SETTINGS); default: server.yaml in the state folder, if it is there")
	flags.StringVar(&bucket, "blob", os.Getenv("RIDGELINE_BLOB"), "the server's bucket (RIDGELINE_BLOB); default: none")
	flags.StringVar(&database, "database", os.Getenv("RIDGELINE_DATABASE"), "the server's database (RIDGELINE_DATABASE); default: SQLite in the state folder")
	return cmd
}

// findings prints them, and fails when one of them does.
func (c *cli) findings(list []kube.Finding) error {
	failed := 0
	for _, f := range list {
		if !f.OK {
			failed++
		}
	}
	if c.json {
		if err := c.print(list); err != nil {
			return err
		}
	} else {
		for _, f := range list {
			mark := "ok    "
			if !f.OK {
				mark = "FAILS "
			}
			fmt.Fprintf(c.out, "%s%-15s %s\n", mark, f.Check, f.Message)
			if !f.OK {
				fmt.Fprintf(c.out, "      %-15s → %s\n", "", f.Fix)
			}
		}
	}
	if failed > 0 {
		return &exitError{exitFailed, fmt.Errorf("%d of %d checks fail: see what each line says to do", failed, len(list))}
	}
	return nil
}

// examine looks at this machine.
func (c *cli) examine(ctx context.Context, dir, database string) []kube.Finding {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return []kube.Finding{
		program(ctx, "python", "install Python 3.9 or newer as python3 on PATH", "python3", "--version"),
		uvProgram(ctx, dir), program(ctx, "git", "install git: pushes need it", "git", "--version"),
		disk(dir), port(ctx, dir), clock(dir), reachable(ctx, database),
	}
}

func program(ctx context.Context, check, fix, name string, args ...string) kube.Finding {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return kube.Finding{Check: check, Message: strings.TrimSpace(fmt.Sprintf("%s does not run: %v %s", name, err, clip(text, 200))), Fix: fix}
	}
	path, _ := exec.LookPath(name)
	return kube.Finding{Check: check, OK: true, Message: text + " at " + path}
}

// uvProgram is not needed yet: what is missing is installed when it is.
func uvProgram(ctx context.Context, dir string) kube.Finding {
	if f := program(ctx, "uv", "", "uv", "--version"); f.OK {
		return f
	}
	if own, err := filepath.Glob(filepath.Join(dir, "python", "uv", "*", "bin", "uv")); err == nil && len(own) > 0 {
		return program(ctx, "uv", "remove "+filepath.Join(dir, "python", "uv")+": it is installed again", own[0], "--version")
	}
	return kube.Finding{Check: "uv", OK: true, Message: "none: it is installed from the package index when it is needed first"}
}

func disk(dir string) kube.Finding {
	f := kube.Finding{Check: "disk"}
	at := dir // or the first folder above that is there
	for !exists(at) && filepath.Dir(at) != at {
		at = filepath.Dir(at)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		f.Message, f.Fix = err.Error(), "name another state folder: --dir"
		return f
	}
	if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
		f.Message, f.Fix = fmt.Sprintf("%s cannot be written: %v", at, err), "make it yours, or name another state folder: --dir"
		return f
	}
	free := int64(st.Bavail) * st.Bsize
	f.OK, f.Message = free >= fewBytes, fmt.Sprintf("%.1f GiB free at %s", float64(free)/(1<<30), at)
	if !f.OK {
		f.Fix = "make room: 2 GiB at least; an environment and its image take one"
	}
	return f
}

// port asks the server of the state folder, or whether one could listen.
func port(ctx context.Context, dir string) kube.Finding {
	f := kube.Finding{Check: "port"}
	if text, err := os.ReadFile(filepath.Join(dir, "url")); err == nil {
		at := strings.TrimSpace(string(text))
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/healthz", nil)
		if err == nil {
			var res *http.Response
			if res, err = http.DefaultClient.Do(req); err == nil {
				res.Body.Close()
			}
		}
		if err == nil {
			return kube.Finding{Check: "port", OK: true, Message: "the server answers at " + at}
		}
		if locked(dir) {
			f.Message, f.Fix = fmt.Sprintf("a server uses %s, and does not answer at %s: %v", dir, at, err), "see its log; then stop it and start it again: ridgeline up"
			return f
		}
	}
	l, err := net.Listen("tcp", defaultListen)
	if err != nil {
		f.Message, f.Fix = err.Error(), "stop what listens there, or name another address: ridgeline up --listen"
		return f
	}
	l.Close()
	return kube.Finding{Check: "port", OK: true, Message: defaultListen + " is free, and no server runs"}
}

// locked says whether a server uses the state folder.
func locked(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// clock looks whether the time has gone back: nothing was written later than
// now.
func clock(dir string) kube.Finding {
	f := kube.Finding{Check: "clock", OK: true, Message: time.Now().UTC().Format(time.RFC3339)}
	for _, name := range []string{"ridgeline.db", "ridgeline.db-wal", "url", "secret"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err == nil && time.Until(info.ModTime()) > time.Minute {
			f.OK, f.Message = false, fmt.Sprintf("it is %s, and %s was written at %s", f.Message, name, info.ModTime().UTC().Format(time.RFC3339))
			f.Fix = "set the clock by NTP: schedules and tokens go by it"
			return f
		}
	}
	return f
}

// reachable looks at the database without changing it.
func reachable(ctx context.Context, database string) kube.Finding {
	f := kube.Finding{Check: "store", Fix: "name the database: --database or RIDGELINE_DATABASE"}
	if file, ok := strings.CutPrefix(database, "sqlite:"); ok {
		size, head, err := beginning(file)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return kube.Finding{Check: "store", OK: true, Message: "none yet: the first start makes " + file}
		case err != nil:
			f.Message = err.Error()
		case head != "SQLite format 3\x00":
			f.Message, f.Fix = file+" is no SQLite database", "restore it from a backup"
		default:
			return kube.Finding{Check: "store", OK: true, Message: fmt.Sprintf("%s (%.1f MB)", file, float64(size)/1e6)}
		}
		return f
	}
	u, err := url.Parse(database)
	if err != nil || u.Hostname() == "" {
		f.Message = "expected postgres://HOST/NAME"
		return f
	}
	at := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "5432"))
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", at)
	if err != nil {
		f.Message, f.Fix = fmt.Sprintf("PostgreSQL at %s does not answer: %v", at, err), "start it, or open the way there"
		return f
	}
	conn.Close()
	return kube.Finding{Check: "store", OK: true, Message: "PostgreSQL answers at " + at}
}

// probed does in the bucket what a server does there, with an object of its own.
func probed(ctx context.Context, address string) kube.Finding {
	f := kube.Finding{Check: "bucket", Fix: "see that --blob or RIDGELINE_BLOB names it, and that the credentials in the environment may list, read, write and delete objects there"}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	folder, err := os.MkdirTemp("", "ridgeline-doctor-")
	if err != nil {
		f.Message, f.Fix = err.Error(), "make room in the folder for temporary files: TMPDIR"
		return f
	}
	defer os.RemoveAll(folder)
	blobs, err := blob.OpenBucket(ctx, address, folder, 0)
	if err == nil {
		err = errors.Join(blobs.Probe(ctx), blobs.Close())
	}
	if err != nil {
		f.Message = err.Error()
		return f
	}
	return kube.Finding{Check: "bucket", OK: true, Message: "an object was written, listed, read and deleted in " + blob.Printable(address)}
}

// beginning is a file's size and first 16 bytes.
func beginning(file string) (size int64, head string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, "", err
	}
	b := make([]byte, 16)
	n, _ := io.ReadFull(f, b) // a shorter one is no database
	return info.Size(), string(b[:n]), nil
}

// examineCluster looks at the cluster as the server of the state folder would.
func (c *cli) examineCluster(ctx context.Context, dir string, s project.Settings) []kube.Finding {
	k := s.Kubernetes
	if k == nil {
		return []kube.Finding{{Check: "cluster", Message: "the settings name none", Fix: "add kubernetes: to " + filepath.Join(dir, project.SettingsName)}}
	}
	unusable := func(err error) []kube.Finding {
		return []kube.Finding{{Check: "cluster", Message: err.Error(), Fix: "mend the kubeconfig, or name another one: kubernetes.kubeconfig in server.yaml, or KUBECONFIG"}}
	}
	access, err := auth.New(dir, cmp.Or(os.Getenv("RIDGELINE_SHARED"), dir), "", nil)
	if err != nil {
		return unusable(err)
	}
	public := "http://" + defaultListen
	if text, err := os.ReadFile(filepath.Join(dir, "url")); err == nil {
		public = strings.TrimSpace(string(text))
	}
	cluster, err := openCluster(s, public, access, nil)
	if err != nil {
		return unusable(err)
	}
	defer cluster.Close()
	return cluster.Doctor(ctx, cmp.Or(k.URL, public), wantedGateway(k))
}

// wantedGateway is what the settings say of the gateway on the cluster, as far
// as it can be looked at from outside; nil when they want none.
func wantedGateway(k *project.Kubernetes) *kube.Gateway {
	if k.Gateway == nil {
		return nil
	}
	return &kube.Gateway{Replicas: k.Gateway.Replicas, Ingress: (*kube.Ingress)(k.Gateway.Ingress), Route: (*kube.Route)(k.Gateway.Route)}
}
