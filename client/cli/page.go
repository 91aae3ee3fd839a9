package cli

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"viewring/client"
	"viewring/client/admin"
	"viewring/internal/port"
)

// PageOptions are what a view leader's page needs.
type PageOptions struct {
	Listen  string         // "": there is none
	Client  client.Options // to the cluster; without Leaders, if this view leader is the only one
	AnyHost bool           // whatever host requests say they are for
}

func pageFlag(cmd *cobra.Command, o *PageOptions) {
	cmd.Flags().StringVar(&o.Listen, "page", "", "serve a page that shows the cluster to browsers at `HOST:PORT`")
}

// checkBeside checks where a view leader listens beside its own address.
func (a *app) checkBeside(o *ViewLeaderOptions, insecure bool) error {
	if err := o.Metrics.check(insecure); err != nil {
		return err
	}
	return a.pageOptions(o, insecure)
}

// pageOptions checks --page.
func (a *app) pageOptions(o *ViewLeaderOptions, insecure bool) (err error) {
	p := &o.Page
	if p.Listen == "" {
		return nil
	}
	if p.Listen, err = addrOf("--page", p.Listen); err != nil {
		return err
	}
	if !isLoopback(p.Listen) && !insecure && !a.isSafe() {
		return codeError{exitRefused, fmt.Errorf("--page at %s would show the cluster to everyone who can reach it: "+
			"give --tls-cert, --tls-key, --tls-ca and --password-file, or say --insecure if that is meant", p.Listen)}
	}
	p.AnyHost = insecure
	p.Client = client.Options{Leaders: o.Peers, Dialer: a.dialer(), ViewCache: client.NoViewCache}
	return nil
}

// Describe is what query_servers --json says of a status.
func Describe(st *admin.Status) any { return statusObject(st) }

// Explain is what explain --json says of a key. Errors: that of admin.Status.Explain.
func Explain(st *admin.Status, key string) (any, error) {
	e, err := st.Explain(key)
	if err != nil {
		return nil, err
	}
	return explainObject(e), nil
}

// localPage is the flag that has a cluster on this machine serve its page, and the page's address. It is where people
// expect it if the view leader is (at leader): nobody else starts a cluster there then. Nothing, if flags
// say where it is to be.
func localPage(leader string, flags []string) (flag []string, addr string, err error) {
	for i, f := range flags {
		if at, ok := strings.CutPrefix(f, "--page="); ok {
			return nil, at, nil
		}
		if f == "--page" && i+1 < len(flags) {
			return nil, flags[i+1], nil
		}
	}
	addr = port.Local(port.Page)
	if _, at, _ := net.SplitHostPort(leader); at != strconv.Itoa(port.ViewLeader) || port.Check(addr) != nil {
		if addr, err = port.Free(); err != nil {
			return nil, "", err
		}
	}
	return []string{"--page", addr}, addr, nil
}

// demoPage has a private, plain cluster serve its page.
func (a *app) demoPage(flags []string) (flag []string, url string, err error) {
	flag, addr, err := localPage("", flags)
	return flag, "http://" + addr + "/", err
}

// pageURL is what a browser opens.
func (a *app) pageURL(addr string) string {
	scheme := "http://"
	if a.secure.Encrypted() {
		scheme = "https://"
	}
	return scheme + addr + "/"
}
