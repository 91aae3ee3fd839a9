package s3

import (
	"strings"
	"testing"

	"viewring/client"
)

// TestPolicies: no answer is a page of the site of the front, whatever is stored or asked for.
func TestPolicies(t *testing.T) {
	files := openFiles(t)
	c := newCaller(t, files)
	c.bucket("policies")
	c.must(200, "PUT", "/policies/page", []byte("<script>alert(1)</script>"), "Content-Type", "text/html")
	i, err := files.Stat(t.Context(), "/policies/page")
	if err != nil {
		t.Fatal(err)
	}
	i.Attributes.Meta = map[string]string{metaHeaders + "content-security-policy": "script-src *"}
	if _, err := files.SetAttributes(t.Context(), "/policies/page", i.Attributes, client.Version{}); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{"/policies/page?response-content-type=text/html": objectPolicy, "/policies/page": objectPolicy,
		"/policies?list-type=2": answerPolicy, "/policies/none": answerPolicy} {
		if got := c.do("GET", target, nil).header.Get("Content-Security-Policy"); got != want || !strings.HasPrefix(got, "sandbox") {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}
