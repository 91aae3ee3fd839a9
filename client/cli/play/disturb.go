package play

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"rsc.io/script"

	"viewring/client/cli/network"
)

// clients is who no process of the cluster is, to scripts.
const clients = "clients"

// isCutOff reports whether the view leader cannot hear a server.
func (c *Cluster) isCutOff(n *node) bool {
	return c.net != nil && !c.net.Carries(n.name, c.leader.name)
}

// parties are who a script's word names to the network: a process, all of them, or clients.
func (c *Cluster) parties(word string) ([]string, error) {
	if word == clients {
		return []string{network.Outside}, nil
	}
	nodes, err := c.find(word)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range nodes {
		names = append(names, n.name)
	}
	return names, nil
}

// both does something to the paths between two parties, in both directions.
func (c *Cluster) both(a, b string, do func(from, to []string)) error {
	from, err := c.parties(a)
	if err != nil {
		return err
	}
	to, err := c.parties(b)
	if err != nil {
		return err
	}
	do(from, to)
	do(to, from)
	return nil
}

// everybody does something to the paths between one party and all others, clients too.
func (c *Cluster) everybody(a string, do func(from, to []string)) error {
	return errors.Join(c.both(a, "all", do), c.both(a, clients, do))
}

// party checks a word that names one.
func (c *checker) party(word string) error {
	if word == "leader" || word == "all" || word == clients {
		return c.started()
	}
	return c.named(word)
}

// disturbs checks the parties of cut, heal and slow.
func (c *checker) disturbs(parties []string) error {
	c.network = true
	if !network.Works() {
		return errors.New("only Linux tells who is at the other end of a connection")
	}
	errs := []error{c.started()}
	if errs[0] == nil {
		for _, word := range parties {
			errs = append(errs, c.party(word))
		}
	}
	if len(parties) == 2 && parties[0] == parties[1] {
		errs = append(errs, fmt.Errorf("%s is there twice", parties[0]))
	}
	return errors.Join(errs...)
}

func (c *checker) cut(args []string) error {
	if len(args) != 2 {
		return script.ErrUsage
	}
	return c.disturbs(args)
}

func (c *checker) heal(args []string) error {
	if len(args) > 2 {
		return script.ErrUsage
	}
	return c.disturbs(args)
}

func (c *checker) slow(args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return script.ErrUsage
	}
	_, err := span(args[len(args)-1])
	return errors.Join(c.disturbs(args[:len(args)-1]), err)
}

func (p *Player) cut(_ context.Context, args []string) (string, error) {
	if p.cluster == nil {
		return "", errNoCluster
	}
	p.change(strings.Join(args, " and ") + " were cut off")
	return "", p.cluster.both(args[0], args[1], p.cluster.net.Drop)
}

func (p *Player) heal(_ context.Context, args []string) (string, error) {
	if p.cluster == nil {
		return "", errNoCluster
	}
	p.change("the network healed")
	switch net := p.cluster.net; len(args) {
	case 1:
		return "", p.cluster.everybody(args[0], net.HealPaths)
	case 2:
		return "", p.cluster.both(args[0], args[1], net.HealPaths)
	default:
		net.Heal()
	}
	return "", nil
}

func (p *Player) slow(_ context.Context, args []string) (string, error) {
	if p.cluster == nil {
		return "", errNoCluster
	}
	parties, text := args[:len(args)-1], args[len(args)-1]
	by, err := span(text)
	if err != nil {
		return "", err
	}
	delay := func(from, to []string) { p.cluster.net.Delay(from, to, by) }
	if len(parties) == 1 {
		return "", p.cluster.everybody(parties[0], delay)
	}
	return "", p.cluster.both(parties[0], parties[1], delay)
}

func networkVerbs() []verb {
	const who = "Each is a SERVER, leader, all (the processes), or clients: what is no process of the cluster, as the traffic and the commands of the script."
	return []verb{
		{
			name: "cut", args: "A B", summary: "lose all that A and B say to each other, until 'heal'",
			detail:  who + " Connections stay open, as when a cable is pulled; those that have lost something break when it is healed. A script with cut, heal or slow has its processes reach each other through this command, which costs some speed. Linux only.",
			example: "cluster servers 3\ncut s1 leader\nwait s1 down\nheal\nwait s1 up", private: isProxy, check: (*checker).cut, do: (*Player).cut,
		},
		{
			name: "heal", args: "[A [B]]", summary: "make sound again what was cut or slowed: all, all of A, or between A and B",
			example: "cluster servers 3\ncut s1 s2\nslow s3 10ms\nheal s1 s2\nheal s3", private: isProxy, check: (*checker).heal, do: (*Player).heal,
		},
		{
			name: "slow", args: "A [B] DELAY", summary: "have all arrive late that A and all others, or A and B, say to each other, in each direction",
			detail:  who,
			example: "cluster servers 3\nslow s1 20ms\nslow s2 s3 5ms\nsetr colour blue\nheal", private: isProxy, check: (*checker).slow, do: (*Player).slow,
		},
	}
}
