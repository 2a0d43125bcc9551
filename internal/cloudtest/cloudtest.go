// Package cloudtest starts object stores for tests on this machine: Azurite,
// Microsoft's emulator of Azure Blob Storage, and versitygw, an S3 server.
// `make tools` installs both.
//
// What is kept in them, and what reading it has to come to, is the tests' own.
package cloudtest

import (
	"bytes"
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
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// The versions that `make tools` installs, each into a folder of its own.
const (
	AzuriteVersion   = "3.37.0"
	VersityGWVersion = "1.8.0"
)

// A Store is a running object store with one bucket, named data.
type Store struct {
	// Address of an object or folder of the bucket, as a project writes it.
	Address func(key string) string
	put     func(ctx context.Context, key string, content []byte) error
	del     func(ctx context.Context, key string) error
}

// Put writes an object.
func (s *Store) Put(key string, content []byte) error {
	return s.put(context.Background(), key, content)
}

// Delete removes an object.
func (s *Store) Delete(key string) error { return s.del(context.Background(), key) }

const bucket = "data"

// The keys that every store of these tests takes.
const (
	s3Key, s3Secret = "test-key", "test-secret-of-some-length"
	// The account and key that every Azurite has,
	// https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
	account, accountKey = "devstoreaccount1", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// Env is what a server needs in its environment to read from the stores.
func Env() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": s3Key, "AWS_SECRET_ACCESS_KEY": s3Secret, "GS_ACCESS_KEY_ID": s3Key, "GS_SECRET_ACCESS_KEY": s3Secret,
		"AZURE_STORAGE_ACCOUNT": account, "AZURE_STORAGE_KEY": accountKey,
	}
}

// Use gives the test's own process the stores' keys.
func Use(t *testing.T) {
	t.Helper()
	for name, value := range Env() {
		t.Setenv(name, value)
	}
}

// S3 starts an S3 server until the end of the test.
func S3(t testing.TB) *Store {
	t.Helper()
	const key, secret = s3Key, s3Secret
	program := need(t, "ridgeline-versitygw-"+VersityGWVersion, "versitygw")
	dir, sidecar := t.TempDir(), t.TempDir() // metadata beside the files: not every file system has extended attributes
	address := freeAddress(t)
	run(t, address, program, "--port", address, "--access", key, "--secret", secret, "--quiet", "posix", "--sidecar", sidecar, dir)
	client := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://" + address), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, ""),
	})
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	return &Store{
		Address: func(key string) string {
			return "s3://" + bucket + "/" + key + "?endpoint=" + url.QueryEscape("http://"+address) + "&region=us-east-1"
		},
		put: func(ctx context.Context, key string, content []byte) error {
			_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader(content)})
			return err
		},
		del: func(ctx context.Context, key string) error {
			_, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
			return err
		},
	}
}

// Azure starts Azurite until the end of the test.
func Azure(t testing.TB) *Store {
	t.Helper()
	program := need(t, "ridgeline-azurite-"+AzuriteVersion, filepath.Join("node_modules", "azurite", "dist", "src", "blob", "main.js"))
	address := freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	run(t, address, "node", program, "--blobHost", "127.0.0.1", "--blobPort", port, "--location", t.TempDir(), "--silent", "--skipApiVersionCheck", "--disableTelemetry")
	shared, err := azblob.NewSharedKeyCredential(account, accountKey)
	if err != nil {
		t.Fatal(err)
	}
	client, err := azblob.NewClientWithSharedKeyCredential("http://"+address+"/"+account, shared, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateContainer(t.Context(), bucket, nil); err != nil {
		t.Fatal(err)
	}
	return &Store{
		Address: func(key string) string {
			return "azblob://" + bucket + "/" + key + "?domain=" + url.QueryEscape(address) + "&protocol=http"
		},
		put: func(ctx context.Context, key string, content []byte) error {
			_, err := client.UploadBuffer(ctx, bucket, key, content, nil)
			return err
		},
		del: func(ctx context.Context, key string) error {
			_, err := client.DeleteBlob(ctx, bucket, key, nil)
			return err
		},
	}
}

// need finds an installed program. Without it the test is skipped, unless
// CI=true says that it has to be there.
func need(t testing.TB, folder, name string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, folder, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed: make tools", path)
	}
	t.Skipf("%s is not installed: make tools", path)
	return ""
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run starts a program, waits until it answers HTTP at the address, and kills
// it at the end of the test.
func run(t testing.TB, address, program string, args ...string) {
	t.Helper()
	var output bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	if err := answers(ended, "http://"+address, 30*time.Second); err != nil {
		_ = cmd.Process.Kill()
		ended <- <-ended
		t.Fatalf("%s: %v\n%s", filepath.Base(program), err, output.String())
	}
}

func answers(ended chan error, address string, within time.Duration) error {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); {
		res, err := http.Get(address)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			return res.Body.Close()
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("it ended: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.New("it does not answer within " + within.String())
}
