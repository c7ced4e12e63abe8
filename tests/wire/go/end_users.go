package main

import (
	"bytes"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// sessionOf is an S3 client whose credentials are a session in the name of an end user. Environment, beside main.go's:
// the key is a service's, ROLE_ARN names the session's role.
func sessionOf(name string) *s3.Client {
	service := credentials.NewStaticCredentialsProvider(os.Getenv("ACCESS_KEY_ID"), os.Getenv("SECRET_ACCESS_KEY"), "")
	tokens := sts.New(sts.Options{
		Region: "default", BaseEndpoint: aws.String(os.Getenv("ENDPOINT")), Credentials: service, HTTPClient: plain,
		RetryMaxAttempts: 1,
	})
	role := stscreds.NewAssumeRoleProvider(tokens, os.Getenv("ROLE_ARN"), func(options *stscreds.AssumeRoleOptions) {
		options.RoleSessionName = name
	})
	options := client.Options()
	options.Credentials = aws.NewCredentialsCache(role)
	return s3.New(options)
}

// endUser uploads in the name of END_USER, and tries FOREIGN_KEY, which is somebody else's.
func endUser() facts {
	name, foreign := os.Getenv("END_USER"), aws.String(os.Getenv("FOREIGN_KEY"))
	client = sessionOf(name)
	key := aws.String(name + "/go é")
	uploader := manager.NewUploader(client, func(uploader *manager.Uploader) { uploader.PartSize = 5 * mebibyte })
	_, err := uploader.Upload(ctx, &s3.PutObjectInput{
		Bucket: bucket, Key: key, Body: bytes.NewReader(body(12*mebibyte + 5)),
	})
	check(err)
	page, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})
	check(err)
	listed := []string{}
	for _, object := range page.Contents {
		listed = append(listed, *object.Key)
	}
	_, seen := client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: foreign})
	_, replaced := put(*foreign, bytes.NewReader(body(10)))
	_, admin := sessionOf("ops").ListBuckets(ctx, &s3.ListBucketsInput{})
	return facts{
		"listed": listed, "foreign": failure(seen), "onto": failure(replaced), "admin": failure(admin), "got": read(*key),
	}
}
