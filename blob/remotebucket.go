package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/blob/s3blob"

	"github.com/ridgeline-mlops/ridgeline"
)

// bucketRemote is a bucket of S3, of Google Cloud Storage, or a container of
// Azure Blob Storage.
type bucketRemote struct {
	bucket      *blob.Bucket
	credentials string // what to look at when access is denied
}

const (
	awsCredentials   = "the server's AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, profile or role have to allow %s the bucket"
	gsCredentials    = "the server's GS_ACCESS_KEY_ID and GS_SECRET_ACCESS_KEY (an HMAC key of a service account) have to allow %s the bucket"
	azureCredentials = "the server's AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_CONNECTION_STRING or managed identity has to allow %s the container"
)

// openBucket opens the bucket or container that the address names, for what is
// to be done with it, in the words of an error message.
func openBucket(ctx context.Context, u *url.URL, deeds string) (*bucketRemote, error) {
	var b *blob.Bucket
	var err error
	out := &bucketRemote{}
	switch u.Scheme {
	case "s3":
		out.credentials = awsCredentials
		b, err = (&s3blob.URLOpener{}).OpenBucketURL(ctx, pathStyle(u))
	case "gs":
		out.credentials = gsCredentials
		b, err = openGS(ctx, u)
	default:
		out.credentials = azureCredentials
		if err := keepsCredentials(u.Query()); err != nil {
			return nil, err
		}
		b, err = (&azureblob.URLOpener{MakeClient: azureblob.NewDefaultClient, ServiceURLOptions: *azureblob.NewDefaultServiceURLOptions()}).OpenBucketURL(ctx, u)
	}
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "%s cannot be opened: %s", Printable(u.String()), oneLine(err))
	}
	out.bucket, out.credentials = b, fmt.Sprintf(out.credentials, deeds)
	return out, nil
}

// pathStyle asks for bucket names in the path where an endpoint of one's own is
// named: few of them have a host name for each bucket.
func pathStyle(u *url.URL) *url.URL {
	q := u.Query()
	if q.Get("endpoint") == "" && os.Getenv("AWS_ENDPOINT_URL") == "" && os.Getenv("AWS_ENDPOINT_URL_S3") == "" {
		return u
	}
	set := func(name, value string) {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	set("use_path_style", "true")
	set("hostname_immutable", "true")
	if os.Getenv("AWS_REGION") == "" && os.Getenv("AWS_DEFAULT_REGION") == "" {
		set("region", "us-east-1")
	}
	out := *u
	out.RawQuery = q.Encode()
	return &out
}

// keepsCredentials refuses an address that would send what is a secret in
// itself, a SAS token or a bearer token, to a host of the address's own
// choosing. A shared key only signs.
func keepsCredentials(q url.Values) error {
	signs := os.Getenv("AZURE_STORAGE_KEY") != "" || os.Getenv("AZURE_STORAGE_CONNECTION_STRING") != "" || os.Getenv("AZURE_STORAGEBLOB_CONNECTIONSTRING") != ""
	if signs && os.Getenv("AZURE_STORAGE_SAS_TOKEN") == "" {
		return nil
	}
	bound := []string{"domain", "protocol", "cdn", "localemu"}
	if os.Getenv("AZURE_STORAGE_SAS_TOKEN") != "" {
		bound = append(bound, "storage_account")
	}
	for name := range q {
		if slices.Contains(bound, name) {
			return ridgeline.Errorf(ridgeline.Denied, "an azblob:// address may not set %s, because the server's token would go there: set AZURE_STORAGE_DOMAIN, AZURE_STORAGE_PROTOCOL or AZURE_STORAGE_ACCOUNT for the server instead", name)
		}
	}
	return nil
}

// openGS opens a bucket of Google Cloud Storage through the XML API that it
// shares with S3 (https://docs.cloud.google.com/storage/docs/interoperability):
// Google's own client would add 20 MB to the program.
func openGS(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	key, secret := os.Getenv("GS_ACCESS_KEY_ID"), os.Getenv("GS_SECRET_ACCESS_KEY")
	if key == "" || secret == "" {
		return nil, errors.New("set GS_ACCESS_KEY_ID and GS_SECRET_ACCESS_KEY for the server, an HMAC key of a service account")
	}
	for name := range u.Query() {
		if name != "endpoint" && name != "region" {
			return nil, errors.New("a gs:// address knows the options endpoint and region only")
		}
	}
	client := s3.New(s3.Options{
		Region:       cmp.Or(u.Query().Get("region"), "auto"),
		BaseEndpoint: aws.String(cmp.Or(u.Query().Get("endpoint"), "https://storage.googleapis.com")), UsePathStyle: true,
		Credentials:                credentials.NewStaticCredentialsProvider(key, secret, ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		HTTPSignerV4:               unsignedEncoding{v4.NewSigner()},
	})
	return s3blob.OpenBucket(ctx, client, u.Host, nil)
}

// unsignedEncoding leaves Accept-Encoding out of the signature, because
// Google's front end changes that header before the signature is checked.
type unsignedEncoding struct{ *v4.Signer }

func (s unsignedEncoding) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, at time.Time, options ...func(*v4.SignerOptions)) error {
	const header = "Accept-Encoding"
	value := r.Header.Get(header)
	r.Header.Del(header)
	err := s.Signer.SignHTTP(ctx, c, r, hash, service, region, at, options...)
	if value != "" {
		r.Header.Set(header, value)
	}
	return err
}

func (b *bucketRemote) stat(ctx context.Context, key string) (File, error) {
	a, err := b.bucket.Attributes(ctx, key)
	if err != nil {
		return File{}, err
	}
	return File{Size: a.Size, Tag: a.ETag}, nil
}

func (b *bucketRemote) list(ctx context.Context, prefix string, add func(File) error) error {
	objects := b.bucket.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if o.IsDir || (o.Size == 0 && len(o.Key) > 0 && o.Key[len(o.Key)-1] == '/') { // a console's mark for an empty folder
			continue
		}
		if err := add(File{Key: o.Key, Size: o.Size, Tag: etag(o)}); err != nil {
			return err
		}
	}
}

// etag is the store's word for an object's content; gocloud's listing has none
// of its own.
func etag(o *blob.ListObject) string {
	var object types.Object
	if o.As(&object) && object.ETag != nil {
		return *object.ETag
	}
	var item container.BlobItem
	if o.As(&item) && item.Properties != nil && item.Properties.ETag != nil {
		return string(*item.Properties.ETag)
	}
	return o.ModTime.UTC().Format(time.RFC3339Nano)
}

func (b *bucketRemote) open(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	return b.bucket.NewRangeReader(ctx, key, offset, -1, nil)
}

func (b *bucketRemote) explain(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "Forbidden", "ExpiredToken", "InvalidToken", "AuthorizationHeaderMalformed":
			return ridgeline.Errorf(ridgeline.Denied, "access is denied (%s): %s", api.ErrorCode(), b.credentials)
		}
	}
	var answer *azcore.ResponseError
	if errors.As(err, &answer) && (answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized) {
		return ridgeline.Errorf(ridgeline.Denied, "access is denied (%s): %s", answer.ErrorCode, b.credentials)
	}
	return explained(err, b.credentials)
}

func (b *bucketRemote) close() error { return b.bucket.Close() }
