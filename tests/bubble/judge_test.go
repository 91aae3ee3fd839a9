package bubble

import (
	"testing"

	"viewring/tests/history"
)

// judge fails the test with everything that is wrong with a run.
func (r *Run) judge(t *testing.T, seed uint64) history.Verdict {
	t.Helper()
	var v history.Verdict
	var problems []string
	if r.Problem != "" {
		problems = append(problems, r.Problem)
	}
	problems = append(problems, r.Told[:min(5, len(r.Told))]...)
	if r.Load != nil {
		e := r.Load.Errors()
		problems = append(problems, e[:min(5, len(e))]...)
	}
	if r.Load != nil && r.Final != nil {
		v = r.Load.History.Judge(r.Final)
		problems = append(problems, v.Problems...)
		if v.Hard > 0 {
			t.Logf("seed %d: the history of %d keys was too hard to check", seed, v.Hard)
		}
	}
	if len(problems) > 0 {
		t.Logf("seed %d, trace:\n%s", seed, r.Trace)
	}
	for _, p := range problems {
		t.Errorf("seed %d: %s", seed, p)
	}
	return v
}
