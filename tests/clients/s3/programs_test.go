package s3

import (
	"os"
	"path/filepath"
	"testing"
)

func s3cmdSteps(t *testing.T, p *place, addr string) []step {
	x := newProgram(t)
	config := "[default]\naccess_key = " + p.id + "\nsecret_key = " + p.secret + "\nhost_base = " + addr + "\nhost_bucket = " + addr + "\nuse_https = False\n"
	if err := os.WriteFile(filepath.Join(x.dir, "config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(texts []string, words ...string) func() error {
		return func() error {
			return x.run(append([]string{"s3cmd", "-c", "config", "--no-progress"}, words...), texts...)
		}
	}
	return []step{
		{operation: "mb", try: do([]string{"created"}, "mb", "s3://cmd-bucket")},
		{operation: "put", try: do(nil, "put", "small", "s3://cmd-bucket/dir/small")},
		{operation: "put in parts", try: do(nil, "put", "--multipart-chunk-size-mb=5", "big", "s3://cmd-bucket/big")},
		{operation: "ls, with prefixes and all", try: all(do([]string{"DIR", "s3://cmd-bucket/dir/", "s3://cmd-bucket/big", "!small"}, "ls", "s3://cmd-bucket"), do([]string{"s3://cmd-bucket/dir/small", "!DIR"}, "ls", "-r", "s3://cmd-bucket"))},
		{operation: "get", try: all(do([]string{"!WARNING"}, "get", "s3://cmd-bucket/big", "got"), func() error { return x.same("big", "got") })},
		{operation: "cp, mv", try: all(do(nil, "cp", "s3://cmd-bucket/big", "s3://cmd-bucket/copy"), do(nil, "mv", "s3://cmd-bucket/copy", "s3://cmd-bucket/moved/here"), do([]string{"!copy"}, "ls", "s3://cmd-bucket"))},
		{operation: "info", try: all(do([]string{"MD5 sum", "ACL:       viewring: FULL_CONTROL"}, "info", "s3://cmd-bucket/moved/here"), do([]string{"Location:  us-east-1"}, "info", "s3://cmd-bucket"))},
		{operation: "modify", try: all(do(nil, "modify", "--add-header=x-amz-meta-a:b", "s3://cmd-bucket/dir/small"), do([]string{"x-amz-meta-a: b"}, "info", "s3://cmd-bucket/dir/small"))},
		{operation: "sync", try: all(do([]string{"upload"}, "sync", "tree/", "s3://cmd-bucket/tree/"), do([]string{"!upload"}, "sync", "tree/", "s3://cmd-bucket/tree/"), do(nil, "sync", "s3://cmd-bucket/tree/", "back/"),
			func() error { return x.run([]string{"diff", "-r", "tree", "back"}) })},
		{operation: "signurl", try: func() error {
			return x.run([]string{"sh", "-c", `curl -s "$(s3cmd -c config signurl s3://cmd-bucket/dir/small +60)"`}, "<Code>InvalidRequest</Code>")
		}, result: "refused: it signs by version 2"},
		{operation: "del -r, rb", try: all(do(nil, "del", "-r", "-f", "s3://cmd-bucket/"), do([]string{"removed"}, "rb", "s3://cmd-bucket"))},
	}
}

func rcloneSteps(t *testing.T, p *place, addr string) []step {
	x := newProgram(t, "RCLONE_CONFIG_VR_TYPE=s3", "RCLONE_CONFIG_VR_PROVIDER=Other", "RCLONE_CONFIG_VR_ENV_AUTH=true", "RCLONE_CONFIG_VR_ENDPOINT=http://"+addr, "RCLONE_CONFIG=/dev/null",
		"AWS_ACCESS_KEY_ID="+p.id, "AWS_SECRET_ACCESS_KEY="+p.secret)
	do := func(texts []string, words ...string) func() error {
		return func() error {
			return x.run(append([]string{"rclone", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M", "--retries", "1"}, words...), texts...)
		}
	}
	return []step{
		{operation: "mkdir", try: do(nil, "mkdir", "vr:rclone-bucket")},
		{operation: "copy, in parts too", try: do(nil, "copy", "tree", "vr:rclone-bucket/t")},
		{operation: "check", try: do([]string{"0 differences", "3 matching"}, "check", "tree", "vr:rclone-bucket/t")},
		{operation: "check --download", try: do([]string{"0 differences"}, "check", "--download", "tree", "vr:rclone-bucket/t")},
		{operation: "lsf -R", try: do([]string{"t/sub dir/ä+x.txt", "t/big"}, "lsf", "-R", "vr:rclone-bucket")},
		{operation: "copy at the server", try: all(do(nil, "copy", "vr:rclone-bucket/t", "vr:rclone-bucket/u"), do([]string{"0 differences"}, "check", "tree", "vr:rclone-bucket/u"))},
		{operation: "moveto", try: all(do(nil, "moveto", "vr:rclone-bucket/u/big", "vr:rclone-bucket/u/moved"), do([]string{"moved", "!big"}, "lsf", "vr:rclone-bucket/u"))},
		{operation: "cat --offset --count", try: func() error {
			return x.run([]string{"sh", "-c", "rclone cat --offset 6000000 --count 100 vr:rclone-bucket/t/big > part && tail -c +6000001 big | head -c 100 | cmp - part"})
		}},
		{operation: "sync keeps times", try: all(do([]string{"!Copied"}, "sync", "-v", "tree", "vr:rclone-bucket/t"))},
		{operation: "purge", try: do(nil, "purge", "vr:rclone-bucket")},
	}
}

func resticSteps(t *testing.T, p *place, addr string) []step {
	x := newProgram(t, "RESTIC_PASSWORD=x", "RESTIC_REPOSITORY=s3:http://"+addr+"/restic-bucket", "RESTIC_CACHE_DIR=cache", "AWS_ACCESS_KEY_ID="+p.id, "AWS_SECRET_ACCESS_KEY="+p.secret)
	do := func(texts []string, words ...string) func() error {
		return func() error { return x.run(append([]string{"restic"}, words...), texts...) }
	}
	return []step{
		{operation: "init", try: do([]string{"created restic repository"}, "init")},
		{operation: "backup", try: do([]string{"snapshot"}, "backup", "tree")},
		{operation: "check --read-data", try: do([]string{"no errors were found"}, "check", "--read-data")},
		{operation: "restore", try: all(do(nil, "restore", "latest", "--target", "back"), func() error { return x.run([]string{"diff", "-r", "tree", "back/tree"}) })},
		{operation: "forget --prune", try: all(do(nil, "backup", "small"), do(nil, "forget", "--group-by", "", "--keep-last", "1", "--prune"), do([]string{"no errors were found"}, "check"))},
	}
}

func awsSteps(t *testing.T, p *place, addr string) []step {
	x := newProgram(t, "AWS_ACCESS_KEY_ID="+p.id, "AWS_SECRET_ACCESS_KEY="+p.secret, "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=none", "A=aws --endpoint-url http://"+addr)
	do := func(texts []string, words ...string) func() error {
		return func() error {
			return x.run(append([]string{"aws", "--endpoint-url", "http://" + addr}, words...), texts...)
		}
	}
	api := func(texts []string, words ...string) func() error {
		return do(texts, append([]string{"s3api"}, words...)...)
	}
	return []step{
		{operation: "s3 mb", try: do([]string{"make_bucket"}, "s3", "mb", "s3://aws-bucket")},
		{operation: "s3 cp, in parts", try: all(do(nil, "s3", "cp", "--no-progress", "big", "s3://aws-bucket/d/big"), do(nil, "s3", "cp", "--no-progress", "s3://aws-bucket/d/big", "got"), func() error { return x.same("big", "got") })},
		{operation: "s3 sync", try: all(do(nil, "s3", "sync", "--no-progress", "tree", "s3://aws-bucket/t"), do([]string{"!upload"}, "s3", "sync", "--no-progress", "tree", "s3://aws-bucket/t"))},
		{operation: "s3 ls", try: all(do([]string{"PRE d/", "PRE t/"}, "s3", "ls", "s3://aws-bucket"), do([]string{"t/sub dir/ä+x.txt"}, "s3", "ls", "--recursive", "s3://aws-bucket"))},
		{operation: "put-object, checksum CRC32", try: all(api([]string{"ChecksumCRC32"}, "put-object", "--bucket", "aws-bucket", "--key", "sum", "--body", "small", "--checksum-algorithm", "CRC32"),
			api([]string{"ChecksumCRC32"}, "head-object", "--bucket", "aws-bucket", "--key", "sum", "--checksum-mode", "ENABLED"))},
		{operation: "get-object, range and If-Match", try: func() error {
			return x.run([]string{"sh", "-c", `$A s3api get-object --bucket aws-bucket --key sum --range bytes=5-14 --if-match "$($A s3api head-object --bucket aws-bucket --key sum --query ETag --output text)" part && tail -c +6 small | head -c 10 | cmp - part`}, "bytes 5-14/3000")
		}},
		{operation: "list-objects, list-objects-v2", try: all(api([]string{"d/big"}, "list-objects", "--bucket", "aws-bucket", "--page-size", "1"), api([]string{"d/big", "!\"sum\""}, "list-objects-v2", "--bucket", "aws-bucket", "--page-size", "1", "--prefix", "d/"))},
		{operation: "s3 rb --force", try: do([]string{"remove_bucket"}, "s3", "rb", "--force", "s3://aws-bucket")},
	}
}
