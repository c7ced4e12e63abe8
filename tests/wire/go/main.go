// The AWS SDK for Go v2 at a gateway: each case prints its facts for tests/wire/test_go_sdk.py to judge.
//
// Environment: ENDPOINT, ACCESS_KEY_ID, SECRET_ACCESS_KEY, BUCKET (a name that nobody has used), STYLE ("path" or
// "virtual") and, for TLS, SSL_CERT_FILE. With END_USER it is the service of end_users.go instead.
package main

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

type facts map[string]any

const mebibyte = 1024 * 1024

var (
	ctx    = context.Background()
	bucket = aws.String(os.Getenv("BUCKET"))
	plain  = &http.Client{Transport: loopback(), Timeout: time.Minute}
	client = newClient(os.Getenv("SECRET_ACCESS_KEY"))
)

// loopback takes every name for this machine: systems differ in whether they resolve sub-domains of localhost.
func loopback() *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}
	return transport
}

func newClient(secret string) *s3.Client {
	endpoint, err := url.Parse(os.Getenv("ENDPOINT"))
	check(err)
	pathStyle := os.Getenv("STYLE") != "virtual"
	if !pathStyle {
		endpoint.Host = net.JoinHostPort("s3.localhost", endpoint.Port())
	}
	return s3.New(s3.Options{
		Region:                     "default",
		BaseEndpoint:               aws.String(endpoint.String()),
		UsePathStyle:               pathStyle,
		Credentials:                credentials.NewStaticCredentialsProvider(os.Getenv("ACCESS_KEY_ID"), secret, ""),
		HTTPClient:                 plain,
		RetryMaxAttempts:           1,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	})
}

// check ends a case: main turns the panic into its error.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// body gives the same bytes as body() in node_clients.py.
func body(size int) []byte {
	block, err := aes.NewCipher(make([]byte, 16))
	check(err)
	data := make([]byte, size)
	cipher.NewCTR(block, make([]byte, 16)).XORKeyStream(data, data)
	return data
}

func digest(data io.Reader) facts {
	hash := sha256.New()
	size, err := io.Copy(hash, data)
	check(err)
	return facts{"size": size, "sha256": hex.EncodeToString(hash.Sum(nil))}
}

// failure tells how an SDK call failed.
func failure(err error) facts {
	if err == nil {
		return facts{"name": "nothing failed"}
	}
	told := facts{"name": fmt.Sprintf("%T", err), "message": err.Error()}
	var api smithy.APIError
	if errors.As(err, &api) {
		told["name"] = api.ErrorCode()
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		told["status"] = response.HTTPStatusCode()
	}
	return told
}

func put(key string, data io.Reader, change ...func(*s3.PutObjectInput)) (*s3.PutObjectOutput, error) {
	input := &s3.PutObjectInput{Bucket: bucket, Key: aws.String(key), Body: data}
	for _, apply := range change {
		apply(input)
	}
	return client.PutObject(ctx, input)
}

func read(key string, change ...func(*s3.GetObjectInput)) facts {
	input := &s3.GetObjectInput{Bucket: bucket, Key: aws.String(key)}
	for _, apply := range change {
		apply(input)
	}
	found, err := client.GetObject(ctx, input)
	check(err)
	defer found.Body.Close()
	told := digest(found.Body)
	told["etag"], told["type"], told["metadata"] = found.ETag, found.ContentType, found.Metadata
	told["encoding"], told["range"] = found.ContentEncoding, found.ContentRange
	return told
}

func plainly(method, address string, header http.Header, data []byte) facts {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(data))
	check(err)
	for name, values := range header {
		request.Header[name] = values
	}
	answer, err := plain.Do(request)
	check(err)
	defer answer.Body.Close()
	told := digest(answer.Body)
	told["status"], told["etag"] = answer.StatusCode, answer.Header.Get("ETag")
	return told
}

func createBucket() facts {
	_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
	check(err)
	_, again := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
	_, head := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: bucket})
	check(head)
	return facts{"again": failure(again)}
}

func putABuffer() facts {
	done, err := put("buffer é +.png", bytes.NewReader(body(70_000)), func(input *s3.PutObjectInput) {
		input.ContentType = aws.String("image/png")
		input.Metadata = map[string]string{"Colour": "green"}
	})
	check(err)
	return facts{"etag": done.ETag, "crc32": done.ChecksumCRC32, "got": read("buffer é +.png")}
}

// putAStream sends a body that cannot seek: over TLS with a trailer; over HTTP the SDK itself refuses.
func putAStream() facts {
	_, err := put("stream", io.LimitReader(bytes.NewReader(body(300_000)), 300_000), func(input *s3.PutObjectInput) {
		input.ContentLength = aws.Int64(300_000)
	})
	if err != nil {
		return facts{"refused": failure(err)}
	}
	return facts{"got": read("stream")}
}

func putWithEachChecksum() facts {
	told := facts{}
	for _, algorithm := range []types.ChecksumAlgorithm{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
		key := "sum/" + string(algorithm)
		_, err := put(key, bytes.NewReader(body(40_000)), func(input *s3.PutObjectInput) {
			input.ChecksumAlgorithm = algorithm
		})
		check(err)
		told[string(algorithm)] = read(key)
	}
	return told
}

func uploadInParts() facts {
	uploader := manager.NewUploader(client, func(uploader *manager.Uploader) { uploader.PartSize = 5 * mebibyte })
	key := aws.String("parts/stream é.bin")
	source := io.LimitReader(bytes.NewReader(body(12*mebibyte+5)), 12*mebibyte+5)
	done, err := uploader.Upload(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: source})
	check(err)
	buffer := manager.NewWriteAtBuffer(nil)
	_, err = manager.NewDownloader(client).Download(ctx, buffer, &s3.GetObjectInput{Bucket: bucket, Key: key})
	check(err)
	return facts{"location": done.Location, "etag": done.ETag, "got": digest(bytes.NewReader(buffer.Bytes()))}
}

func ranges() facts {
	_, err := put("ranged", bytes.NewReader(body(1000)))
	check(err)
	middle := read("ranged", func(input *s3.GetObjectInput) { input.Range = aws.String("bytes=5-9") })
	_, past := client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: bucket, Key: aws.String("ranged"), Range: aws.String("bytes=1000-"),
	})
	return facts{"middle": middle, "past": failure(past)}
}

func list() facts {
	written := []string{"list/a", "list/b c", "list/d/e", "list/d/f", "list/ز", "list/+&<>", "list//x"}
	for _, key := range written {
		_, err := put(key, strings.NewReader("x"))
		check(err)
	}
	listed := []string{}
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{
		Bucket: bucket, Prefix: aws.String("list/"), MaxKeys: aws.Int32(2),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		check(err)
		for _, object := range page.Contents {
			listed = append(listed, *object.Key)
		}
	}
	return facts{"written": written, "listed": listed}
}

func copyAndDelete() facts {
	_, err := put("copy/a é", bytes.NewReader(body(100)), func(input *s3.PutObjectInput) {
		input.Metadata = map[string]string{"a": "1"}
	})
	check(err)
	done, err := client.CopyObject(ctx, &s3.CopyObjectInput{
		Bucket: bucket, Key: aws.String("copy/b"), CopySource: aws.String(*bucket + "/" + url.PathEscape("copy/a é")),
	})
	check(err)
	copied := read("copy/b")
	deleted, err := client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{
		Objects: []types.ObjectIdentifier{{Key: aws.String("copy/a é")}, {Key: aws.String("copy/b")}},
	}})
	check(err)
	return facts{"etag": done.CopyObjectResult.ETag, "got": copied, "deleted": len(deleted.Deleted), "errors": len(deleted.Errors)}
}

func presigned() facts {
	signer := s3.NewPresignClient(client)
	key := aws.String("presigned/é +&.png")
	putting, err := signer.PresignPutObject(ctx, &s3.PutObjectInput{
		Bucket: bucket, Key: key, ContentType: aws.String("image/png"), Metadata: map[string]string{"by": "go"},
	})
	check(err)
	done := plainly(putting.Method, putting.URL, putting.SignedHeader, body(3000))
	getting, err := signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
	check(err)
	heading, err := signer.PresignHeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key})
	check(err)
	return facts{
		"put":    done,
		"get":    plainly(getting.Method, getting.URL, getting.SignedHeader, nil),
		"head":   plainly(heading.Method, heading.URL, heading.SignedHeader, nil),
		"delete": plainly("DELETE", getting.URL, nil, nil),
		"back":   read(*key),
	}
}

func errorsOf() facts {
	_, noKey := client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("none")})
	_, noHead := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("none")})
	_, exists := put("ranged", strings.NewReader("x"), func(input *s3.PutObjectInput) { input.IfNoneMatch = aws.String("*") })
	forger := newClient(strings.Repeat("x", 40))
	_, forged := forger.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("none")})
	return facts{
		"no_key": failure(noKey), "head_no_key": failure(noHead), "exists": failure(exists), "wrong_secret": failure(forged),
	}
}

// told runs one case; its panic becomes its error.
func told(run func() facts) (result facts) {
	defer func() {
		if problem := recover(); problem != nil {
			result = facts{"error": fmt.Sprint(problem)}
		}
	}()
	return facts{"facts": run()}
}

func main() {
	type wireCase struct {
		name string
		run  func() facts
	}
	cases := []wireCase{
		{"create_bucket", createBucket},
		{"put_a_buffer", putABuffer},
		{"put_a_stream", putAStream},
		{"put_with_each_checksum", putWithEachChecksum},
		{"upload_in_parts", uploadInParts},
		{"ranges", ranges},
		{"list", list},
		{"copy_and_delete", copyAndDelete},
		{"presigned", presigned},
		{"errors", errorsOf},
	}
	if os.Getenv("END_USER") != "" {
		cases = []wireCase{{"end_user", endUser}}
	}
	results := facts{}
	for _, each := range cases {
		results[each.name] = told(each.run)
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
