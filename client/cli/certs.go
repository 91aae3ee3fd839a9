package cli

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/cli/authority"
)

// plainAnnotation marks commands that connect to nobody, with all below them: they need none of
// the files for TLS and the password, which they may be about to make.
const plainAnnotation = "viewring-plain"

// isPlain reports whether a command connects to nobody.
func isPlain(cmd *cobra.Command) bool {
	for ; cmd != nil; cmd = cmd.Parent() {
		if cmd.Annotations[plainAnnotation] != "" {
			return true
		}
	}
	return false
}

const day = 24 * time.Hour

// daysMax is more than a century, and less than durations can hold.
const daysMax = 40_000

func (a *app) certsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "make certificates and a password for a cluster",
		Long: `Make what a cluster with TLS and a password needs, in one folder: a private
authority, a certificate for each host, one for commands, and a password. The
folder stays with you; each host gets ca.pem, password, and its own two files.`,
		Example:     "  viewring certs make ./certs 10.0.0.1 10.0.0.2\n  viewring certs add ./certs 10.0.0.3\n  viewring certs renew ./certs\n  viewring certs list ./certs",
		Annotations: map[string]string{plainAnnotation: "true"},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return usagef("certs: make, add, renew or list is missing") },
	}
	cmd.AddCommand(a.certsMakeCmd(), a.certsAddCmd(), a.certsRenewCmd(), a.certsListCmd())
	return cmd
}

// daysFlag adds a number of days.
func daysFlag(cmd *cobra.Command, days *int, name string, usual int, of string) {
	cmd.Flags().IntVar(days, name, usual, of+" this `number` of days")
}

func checkDays(days ...int) error {
	for _, d := range days {
		if d < 1 || d > daysMax {
			return usagef("a certificate lasts 1 to %d days, not %d", daysMax, d)
		}
	}
	return nil
}

// hostsOf reads the hosts behind the folder's name.
func hostsOf(args []string) (hosts []authority.Host, err error) {
	seen := map[string]bool{}
	for _, arg := range args[1:] {
		h, err := authority.ParseHost(arg)
		if err != nil {
			return nil, usagef("%v", err)
		}
		if seen[h.Name] {
			return nil, usagef("%s is named twice; the names of one host go together, with commas", h.Name)
		}
		seen[h.Name] = true
		hosts = append(hosts, h)
	}
	return hosts, nil
}

func (a *app) certsMakeCmd() *cobra.Command {
	var days, authorityDays int
	cmd := &cobra.Command{
		Use:   "make DIR HOST[,NAME…]…",
		Short: "make an authority, certificates and a password",
		Long: `Make in the folder DIR, which it makes, a private authority (ca.pem, ca.key), a
certificate for each HOST (HOST.pem, HOST.key), one for commands and other
clients (client.pem, client.key), and a password (password). A host is what others
connect to: a DNS name or an IP address; further ones of the same machine follow
with commas. Each is good for localhost too. Nothing is overwritten.

ca.key is for making more certificates: keep it where no server is. All files can
be read by you alone.`,
		Example: "  viewring certs make ./certs 10.0.0.1 10.0.0.2 10.0.0.3\n  viewring certs make ./certs s1.example.com,10.0.0.1 '*.example.com'\n  viewring certs make ./certs localhost",
		Args:    wantsSome("DIR", "HOST"),
		RunE: func(_ *cobra.Command, args []string) error {
			hosts, err := hostsOf(args)
			if err != nil {
				return err
			}
			if err := checkDays(days, authorityDays); err != nil {
				return err
			}
			f, err := authority.Make(args[0], hosts, time.Duration(days)*day, time.Duration(authorityDays)*day)
			if err != nil {
				return a.certsError(err)
			}
			return a.made(f, args[0], hosts, true)
		},
	}
	daysFlag(cmd, &days, "days", 365, "certificates last")
	daysFlag(cmd, &authorityDays, "authority-days", 3650, "the authority lasts")
	return cmd
}

func (a *app) certsAddCmd() *cobra.Command {
	var days int
	cmd := &cobra.Command{
		Use:     "add DIR HOST[,NAME…]…",
		Short:   "make certificates for further hosts, by the same authority",
		Example: "  viewring certs add ./certs 10.0.0.4",
		Args:    wantsSome("DIR", "HOST"),
		RunE: func(_ *cobra.Command, args []string) error {
			hosts, err := hostsOf(args)
			if err != nil {
				return err
			}
			if err := checkDays(days); err != nil {
				return err
			}
			f, err := authority.Open(args[0])
			if err == nil {
				err = f.Add(hosts, time.Duration(days)*day)
			}
			if err != nil {
				return a.certsError(err)
			}
			return a.made(f, args[0], hosts, false)
		},
	}
	daysFlag(cmd, &days, "days", 365, "certificates last")
	return cmd
}

func (a *app) certsRenewCmd() *cobra.Command {
	var days int
	cmd := &cobra.Command{
		Use:   "renew DIR [NAME…]",
		Short: "make new certificates for the same hosts, by the same authority",
		Long: `Make new certificates and keys in the place of those of these names, or of all but
the authority's. Bring them to their hosts: the processes there read them within
two seconds, and nothing restarts.`,
		Example: "  viewring certs renew ./certs\n  viewring certs renew ./certs 10.0.0.1 client",
		Args:    wantsSome("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkDays(days); err != nil {
				return err
			}
			f, err := authority.Open(args[0])
			if err != nil {
				return a.certsError(err)
			}
			list, err := f.Renew(args[1:], time.Duration(days)*day)
			if err != nil {
				return a.certsError(err)
			}
			a.listCertificates(f, list)
			return nil
		},
	}
	daysFlag(cmd, &days, "days", 365, "certificates last")
	return cmd
}

func (a *app) certsListCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "list DIR",
		Short:   "show whom certificates are for, and when they expire",
		Example: "  viewring certs list ./certs",
		Args:    wants("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := authority.Open(args[0])
			if err != nil {
				return a.certsError(err)
			}
			list, err := f.List()
			if err != nil {
				return a.certsError(err)
			}
			a.listCertificates(f, list)
			return nil
		},
	}
}

// certsError gives an error its exit code, and says what to do.
func (a *app) certsError(err error) error {
	switch {
	case errors.Is(err, authority.ErrNone):
		return codeError{exitNotFound, fmt.Errorf("%w; 'viewring certs make' makes an authority, 'certs add' a certificate", err)}
	case errors.Is(err, authority.ErrExists):
		return codeError{exitRefused, fmt.Errorf("%w: nothing was changed; 'viewring certs add' makes certificates for further hosts, 'certs renew' new ones for the same", err)}
	}
	return codeError{exitRefused, err}
}

func (a *app) listCertificates(f *authority.Folder, list []authority.Certificate) {
	if a.flags.json {
		type object struct {
			Name    string    `json:"name"`
			Hosts   []string  `json:"hosts"`
			Expires time.Time `json:"expires"`
			Cert    string    `json:"certificate"`
			Key     string    `json:"key"`
		}
		var all []object
		for _, c := range list {
			all = append(all, object{c.Name, append([]string{}, c.Hosts...), c.Expires, c.Cert, c.Key})
		}
		a.printJSON(map[string]any{"version": jsonVersion, "certificates": all, "password_file": f.Password()})
		return
	}
	var rows [][]string
	for _, c := range list {
		expires := c.Expires.Local().Format(time.DateOnly)
		if !time.Now().Before(c.Expires) {
			expires += ", expired"
		}
		rows = append(rows, []string{c.Name, expires, strings.Join(c.Hosts, ", ")})
	}
	a.table([]string{"NAME", "EXPIRES", "HOSTS"}, rows)
}

// made says what there is now, and what to type next.
func (a *app) made(f *authority.Folder, dir string, hosts []authority.Host, isNew bool) error {
	if a.flags.json {
		list, err := f.List()
		if err != nil {
			return a.certsError(err)
		}
		a.listCertificates(f, list)
		return nil
	}
	if isNew {
		a.printf("made in %s: an authority, certificates for %s and for commands, a password\n", dir, count(len(hosts), "host"))
	} else {
		a.printf("made in %s: certificates for %s\n", dir, count(len(hosts), "host"))
	}
	file, host := func(name string) string { return filepath.Join(dir, name) }, hosts[0]
	a.printf("\non %s, with %s.pem, %s.key, ca.pem and password there:\n", host.Names[0], host.Name, host.Name)
	a.printf("  export VIEWRING_TLS_CERT=%s\n  export VIEWRING_TLS_KEY=%s\n", file(host.Name+".pem"), file(host.Name+".key"))
	a.printf("  export VIEWRING_TLS_CA=%s\n  export VIEWRING_PASSWORD_FILE=%s\n", file("ca.pem"), file("password"))
	leader := "HOST:28500" // of the cluster that is there: a new view leader would begin another
	if isNew {
		leader = net.JoinHostPort(host.Names[0], "28500")
		a.printf("  viewring viewleader --listen %s\n", leader)
	}
	a.printf("  viewring server --listen %s --viewleader %s\n", net.JoinHostPort(host.Names[0], "28600"), leader)
	others := ""
	if len(hosts) > 1 {
		others = "and so on the others. "
	}
	if !isNew {
		a.printf("%sHOST:28500 is a view leader of the cluster; several go with commas.\n", others)
		return nil
	}
	if others == "" {
		others = "\n"
	}
	a.printf("%sWhere commands are typed, with client.pem and client.key there:\n", others)
	a.printf("  viewring query_servers --viewleader %s\n", leader)
	a.printf("\nWho has %s can make certificates: keep it where no server is.\n", file("ca.key"))
	return nil
}
