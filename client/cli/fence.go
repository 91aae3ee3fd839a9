package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"viewring/client"
)

// fenceFlag adds --fence to a command that changes replicated keys, and returns what
// reads it.
func fenceFlag(cmd *cobra.Command) (read func() (client.Fence, error)) {
	text := cmd.Flags().String("fence", "", "only while no newer holder of the lock has written: `LOCK:TOKEN`")
	return func() (client.Fence, error) { return parseFence(*text, cmd.Flag("fence").Changed) }
}

// parseFence reads LOCK:TOKEN; a lock may have colons in its name.
func parseFence(text string, given bool) (client.Fence, error) {
	if !given {
		return client.Fence{}, nil
	}
	i := strings.LastIndexByte(text, ':')
	token, err := strconv.ParseUint(text[i+1:], 10, 64)
	if i < 1 || err != nil {
		return client.Fence{}, usagef("--fence must be LOCK:TOKEN, as lock_get prints it, not %q", text)
	}
	return client.Fence{Lock: text[:i], Token: token}, nil
}
