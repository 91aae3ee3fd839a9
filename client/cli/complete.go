package cli

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/client/cli/play"
	"viewring/scripts"
)

const (
	completeMax  = 1500 * time.Millisecond // for all that is asked of the cluster
	completeKeys = 100                     // offered at most
)

// completer lists what a word may be, given how it begins.
type completer func(ctx context.Context, begun string) []string

// words are what arguments and flags stand for, by the names that usages give them. Those that
// are not here are files.
func (a *app) words() map[string]completer {
	fixed := func(words ...string) completer {
		return func(context.Context, string) []string { return words }
	}
	return map[string]completer{
		"SERVER": a.completeServers, "NAME": a.completeNames, "KEY": a.completeNames, "LOCK": a.completeLocks, "CLIENT": a.completeHolders,
		"PREFIX": a.completeNames, "PATH": fixed(), "BY": fixed(), "DURATION": fixed(), "VALUE": fixed(), "TEXT": fixed(), "PARTITION": fixed(),
		"--server": a.completeServers, "--mode": fixed("set", "get", "mix", "both"), "--on-deadlock": fixed("fail", "wait"),
		"--log-level": fixed("debug", "info", "warn", "error"), "--log-format": fixed("auto", "text", "json"),
	}
}

// addCompletion has shells complete the arguments and flags of a command and of those below it.
func (a *app) addCompletion(cmd *cobra.Command, words map[string]completer) {
	var usage []string
	for _, word := range strings.Fields(cmd.Use)[1:] {
		usage = append(usage, strings.Trim(word, "[].…|"))
	}
	more := strings.Contains(cmd.Use, "...") || strings.Contains(cmd.Use, "…")
	if cmd.ValidArgsFunction == nil && len(usage) > 0 && words[usage[0]] != nil {
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			at := len(args)
			if more {
				at = min(at, len(usage)-1)
			}
			if at >= len(usage) || words[usage[at]] == nil {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return a.complete(cmd, words[usage[at]], begun), cobra.ShellCompDirectiveNoFileComp
		}
	}
	for name, word := range words {
		flag, isFlag := strings.CutPrefix(name, "--")
		if !isFlag || cmd.LocalFlags().Lookup(flag) == nil {
			continue
		}
		_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
			return a.complete(cmd, word, begun), cobra.ShellCompDirectiveNoFileComp
		}) // the flag exists, and has none yet
	}
	for _, c := range cmd.Commands() {
		a.addCompletion(c, words)
	}
}

// complete lists the words that begin so; none where the cluster does not answer soon.
func (a *app) complete(cmd *cobra.Command, word completer, begun string) (list []string) {
	if a.giveFlags(cmd) != nil || a.loadSecrets() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeMax)
	defer cancel()
	for _, w := range word(ctx, begun) {
		if strings.HasPrefix(w, begun) && !strings.ContainsFunc(w, unicode.IsControl) {
			list = append(list, w)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// asked is what a command asks of the cluster to complete a word.
func (a *app) asked(ctx context.Context, ask func(*admin.Cluster)) {
	opts := a.clientOptions(slog.LevelError)
	opts.ConnectTimeout = completeMax / 2
	c, err := admin.Open(ctx, opts)
	if err != nil {
		return // there is nobody to tell
	}
	defer c.Close()
	ask(c)
}

func (a *app) completeServers(ctx context.Context, _ string) (ids []string) {
	a.asked(ctx, func(c *admin.Cluster) {
		for _, m := range c.View().Members {
			ids = append(ids, m.ID.String())
		}
	})
	return ids
}

// completeNames lists keys, of one server after the other, until there are enough.
func (a *app) completeNames(ctx context.Context, begun string) (names []string) {
	a.asked(ctx, func(c *admin.Cluster) {
		for _, m := range c.View().Members {
			if !m.Up || len(names) >= completeKeys || ctx.Err() != nil {
				continue
			}
			s, err := admin.DialServer(ctx, m.Addr, a.dialer())
			if err != nil {
				continue
			}
			for n, err := range s.Names(ctx) {
				if err != nil || len(names) >= completeKeys {
					break
				}
				if !n.Local && strings.HasPrefix(n.Name, begun) {
					names = append(names, n.Name)
				}
			}
			_ = s.Close() // never fails
		}
	})
	return names
}

func (a *app) completeLocks(ctx context.Context, _ string) (names []string) {
	a.asked(ctx, func(c *admin.Cluster) {
		locks, _ := c.Locks(ctx) // none, where they can't be had
		for _, l := range locks.Locks {
			names = append(names, l.Name)
		}
	})
	return names
}

func (a *app) completeHolders(ctx context.Context, _ string) (names []string) {
	a.asked(ctx, func(c *admin.Cluster) {
		locks, _ := c.Locks(ctx) // none, where they can't be had
		for _, l := range locks.Locks {
			for _, h := range l.Holders {
				names = append(names, h.Client)
			}
		}
	})
	return names
}

// completeScripts offers the scripts that are built in, beside files.
func completeScripts(_ *cobra.Command, args []string, begun string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) > 0 && args[0] == verbsHelp {
		names = slices.DeleteFunc(play.Names(), func(name string) bool { return !strings.HasPrefix(name, begun) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	entries, err := scripts.FS.ReadDir(".")
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault // a script's own arguments
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), begun) {
			names = append(names, e.Name())
		}
	}
	return names, cobra.ShellCompDirectiveDefault
}
