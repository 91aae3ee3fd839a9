// Package s3 serves the files of a cluster to clients of Amazon S3: buckets are the directories at
// the top, objects the files below them. It is an http.Handler that a front asks first. It keeps
// nothing: uploads in parts are in the store, and any front goes on with them.
//
// The protocol is that of the Amazon S3 API Reference (API version 2006-03-01) and of "Signature
// Version 4" in the AWS General Reference.
package s3
