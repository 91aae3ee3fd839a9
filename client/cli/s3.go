package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"viewring/client/file"
	"viewring/client/s3keys"
	"viewring/internal/secure"
)

// S3Options are the flags of a front for clients of S3.
type S3Options struct {
	Domains    []string      // below which a host's first label is a bucket
	Secret     string        // that keys are encrypted with; "": there are none
	UploadsEnd time.Duration // how long after its begin an upload in parts is aborted
}

const s3SecretEnv = envPrefix + "S3_SECRET_FILE"

// s3Flags are those flags as they are typed.
type s3Flags struct {
	domains    []string
	secretFile string
	uploadsEnd time.Duration
}

func (f *s3Flags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.domains, "s3-domain", nil, "serve the bucket B also at the host B.`DOMAIN`; may be given more than once")
	cmd.Flags().DurationVar(&f.uploadsEnd, "s3-uploads-end", 7*24*time.Hour, "abort uploads in parts this long after their begin")
	f.addSecret(cmd.Flags())
}

func (f *s3Flags) addSecret(to *pflag.FlagSet) {
	to.StringVar(&f.secretFile, "s3-secret-file", "", "`file` whose first line encrypts S3 keys in place of the cluster's password (or $"+s3SecretEnv+")")
}

// options are what the flags say.
func (f *s3Flags) options(a *app) (o S3Options, err error) {
	for _, d := range f.domains {
		if d == "" || strings.ContainsAny(d, "/: ") {
			return o, usagef("--s3-domain must be the name of a host, without a port: not %q", d)
		}
	}
	if f.uploadsEnd < time.Minute {
		return o, usagef("--s3-uploads-end must be at least 1m")
	}
	o = S3Options{Domains: f.domains, UploadsEnd: f.uploadsEnd}
	o.Secret, err = f.secret(a)
	return o, err
}

// secret is what keys are encrypted with, "" if there is nothing.
func (f *s3Flags) secret(a *app) (string, error) {
	name := f.secretFile
	if name == "" {
		return a.secure.Password(), nil
	}
	secret, err := secure.ReadSecret(name)
	if err != nil {
		return "", codeError{exitRefused, fmt.Errorf("S3 secret file: %w", err)}
	}
	return secret, nil
}

// missing is the error of a command without a command of its own behind it.
func missing(name string, others ...string) (cobra.PositionalArgs, func(*cobra.Command, []string) error) {
	all := strings.Join(others, ", ")
	args := func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("%s: unknown command %q; there is %s", name, args[0], all)
		}
		return nil
	}
	return args, func(*cobra.Command, []string) error { return usagef("%s: a command is missing: %s", name, all) }
}

func (a *app) s3Cmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "s3",
		Short: "let clients of S3 in",
		Long: `Keys with which clients of S3 sign their requests to an HTTP front, 'viewring http'.
What is served is in server/s3/README.md.`,
		Example: "  viewring s3 key add backup --bucket backups",
	}
	cmd.Args, cmd.RunE = missing("s3", "key")
	cmd.AddCommand(a.s3KeyCmd())
	return cmd
}

func (a *app) s3KeyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "add, list and remove keys of S3",
		Long: `Add, list and remove keys of S3. Their secrets are kept in the store, encrypted under
the cluster's password: so that must be given, by --password-file, to this command and
to fronts. Where a cluster has none, give both the same --s3-secret-file. With another
password later, keys must be removed and added anew.`,
		Example: "  viewring s3 key add backup\n  viewring s3 key list",
	}
	cmd.Args, cmd.RunE = missing("s3 key", "add", "list", "remove")
	var flags s3Flags
	flags.addSecret(cmd.PersistentFlags())
	cmd.AddCommand(a.s3KeyAddCmd(&flags), a.s3KeyListCmd(), a.s3KeyRemoveCmd())
	return cmd
}

func (a *app) s3KeyAddCmd(flags *s3Flags) *cobra.Command {
	var buckets []string
	cmd := &cobra.Command{
		Use:   "add [--bucket BUCKET]… NAME",
		Short: "make a key",
		Long: `Make a key, and print its id and its secret, which is not told again. With --bucket
it is for these buckets only, which need not exist yet; else for all. A name that is
taken is exit code 4.`,
		Example: "  viewring s3 key add backup --bucket backups\n  viewring s3 key add all --json",
		Args:    wants("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			secret, err := flags.secret(a)
			if err != nil {
				return err
			}
			if secret == "" {
				return usagef("%v", s3keys.ErrNoSecret)
			}
			return a.onFiles(func(ctx context.Context, f *file.FS, args []string) error {
				k, err := s3keys.NewStore(f, secret).Add(ctx, args[0], buckets)
				if errors.Is(err, s3keys.ErrBadName) || errors.Is(err, s3keys.ErrBadBucket) {
					return usagef("%v", err)
				}
				if err != nil {
					return err
				}
				if a.flags.json {
					a.printJSON(map[string]any{"version": jsonVersion, "name": k.Name, "key_id": k.ID, "secret": k.Secret, "buckets": bucketsOf(k), "created": k.Created.Format(time.RFC3339)})
					return nil
				}
				a.printf("key id  %s\nsecret  %s\n", k.ID, k.Secret)
				return nil
			})(cmd, args)
		},
	}
	cmd.Flags().StringArrayVar(&buckets, "bucket", nil, "for this `bucket` only; may be given more than once")
	return cmd
}

// bucketsOf is a list also where it is empty, which is all.
func bucketsOf(k s3keys.Key) []string { return append([]string{}, k.Buckets...) }

func (a *app) s3KeyListCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "list the keys, without their secrets",
		Example: "  viewring s3 key list\n  viewring s3 key list --json",
		Args:    wants(),
		RunE: a.onFiles(func(ctx context.Context, f *file.FS, _ []string) error {
			var keys []s3keys.Key
			for k, err := range s3keys.NewStore(f, "").List(ctx) {
				if err != nil {
					return err
				}
				keys = append(keys, k)
			}
			slices.SortFunc(keys, func(x, y s3keys.Key) int { return strings.Compare(x.Name, y.Name) })
			a.printS3Keys(keys)
			return nil
		}),
	}
}

func (a *app) printS3Keys(keys []s3keys.Key) {
	objects, rows := make([]map[string]any, 0, len(keys)), make([][]string, 0, len(keys))
	for _, k := range keys {
		objects = append(objects, map[string]any{"name": k.Name, "key_id": k.ID, "buckets": bucketsOf(k), "created": k.Created.Format(time.RFC3339)})
		buckets := strings.Join(k.Buckets, ", ")
		if buckets == "" {
			buckets = "all"
		}
		rows = append(rows, []string{k.Name, k.ID, k.Created.Local().Format(time.DateTime), buckets})
	}
	switch {
	case a.flags.json:
		a.printJSON(map[string]any{"version": jsonVersion, "keys": objects})
	case len(keys) == 0:
		a.printf("there is no key\n")
	default:
		a.table([]string{"NAME", "KEY ID", "CREATED", "BUCKETS"}, rows)
	}
}

func (a *app) s3KeyRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "remove a key",
		Long:    "Remove a key. Fronts refuse it from 5 seconds later on. One that is not there is exit code 1.",
		Example: "  viewring s3 key remove backup",
		Args:    wants("NAME"),
		RunE: a.onFiles(func(ctx context.Context, f *file.FS, args []string) error {
			err := s3keys.NewStore(f, "").Remove(ctx, args[0])
			if errors.Is(err, s3keys.ErrNoKey) {
				err = codeError{exitNotFound, err}
			}
			return err
		}),
	}
}
