package test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ridgeline-mlops/ridgeline/internal/cloudtest"
)

// clouds are the object stores of the stories, each started when a story first
// asks for it.
type clouds struct {
	s3, azure func() *cloudtest.Store
}

// newClouds gives the servers that the test starts the stores' keys.
func newClouds(t *testing.T) clouds {
	cloudtest.Use(t)
	return clouds{
		s3:    sync.OnceValue(func() *cloudtest.Store { return cloudtest.S3(t) }),
		azure: sync.OnceValue(func() *cloudtest.Store { return cloudtest.Azure(t) }),
	}
}

// cmd writes to an object store, or says where one is:
//
//	cloud s3 put KEY FILE
//	cloud s3 delete KEY
//	cloud azure address KEY VARIABLE
func (c clouds) cmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: cloud s3|azure put KEY FILE | delete KEY | address KEY VARIABLE")
	}
	store := c.s3
	if args[0] == "azure" {
		store = c.azure
	}
	switch args[1] {
	case "put":
		ts.Check(store().Put(args[2], []byte(ts.ReadFile(args[3]))))
	case "delete":
		ts.Check(store().Delete(args[2]))
	case "address":
		ts.Setenv(args[3], store().Address(args[2]))
	default:
		ts.Fatalf("cloud knows put, delete and address, not %s", args[1])
	}
}

// cmdUntil runs a command again and again until what it prints matches:
// until PATTERN COMMAND…
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN COMMAND…")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	var out []byte
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		// A shell, as the story's PATH is not this process's.
		cmd := exec.Command("/bin/sh", append([]string{"-c", `exec "$@"`, "sh"}, args[1:]...)...)
		cmd.Dir = ts.MkAbs(".")
		cmd.Env = append(os.Environ(), "RIDGELINE_DIR="+ts.Getenv("RIDGELINE_DIR"), "PATH="+ts.Getenv("PATH"))
		if out, _ = cmd.CombinedOutput(); want.Match(out) { // it may fail for a while
			return
		}
	}
	ts.Fatalf("not within a minute: %s prints %q\n%s", strings.Join(args[1:], " "), args[0], bytes.TrimSpace(out))
}
