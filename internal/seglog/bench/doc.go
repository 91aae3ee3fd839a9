// Package bench holds benchmarks of the segment log alone, beside the store that
// servers use today. It is apart so that the log's own tests need nothing of that.
package bench
