// Package s3 tests viewring with clients of S3 that people use.
package s3
