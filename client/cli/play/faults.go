package play

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"rsc.io/script"

	"viewring/client"
)

// trafficVerb begins and ends traffic; at its end all its keys are read back.
func (p *Player) trafficVerb(ctx context.Context, args []string) (string, error) {
	switch {
	case p.cluster == nil:
		return "", errNoCluster
	case len(args) == 0:
		return "", script.ErrUsage
	case args[0] == "start" && p.traffic == nil:
		return "", p.startTraffic(args[1:])
	case args[0] == "round" && len(args) == 1 && p.traffic != nil:
		p.trafficRound()
		return "", nil
	case args[0] != "stop" || len(args) != 1 || p.traffic == nil:
		return "", script.ErrUsage
	}
	t := p.traffic
	p.traffic = nil
	t.end()
	byClient, plain, requests, failed := t.longest(time.Time{})
	p.stalls = max(byClient, plain)
	if requests == 0 {
		return "", errors.New("the traffic has made no request")
	}
	wrong, err := t.lost(ctx)
	p.ledger.note(requests, len(t.probes), failed, wrong)
	if err != nil {
		// Not wrapped: the engine takes a deadline's end for the script's, which '!' does not excuse.
		return "", fmt.Errorf("of %d requests %d failed, and what was written can't be read back: %v", requests, len(failed), err)
	}
	p.say("traffic: %d requests, %d failed, longest %d ms, %d lost", requests, len(failed), p.stalls.Milliseconds(), len(wrong))
	return "", nil
}

func (p *Player) startTraffic(args []string) error {
	rate, plain, err := trafficRate, false, error(nil)
	if n := len(args); n > 0 && args[n-1] == "plain" {
		plain, args = true, args[:n-1]
	}
	if len(args) > 0 {
		rate, err = strconv.Atoi(args[0])
	}
	if err != nil || rate < 1 || len(args) > 1 {
		return script.ErrUsage
	}
	p.traffic = startTraffic(context.Background(), p.client, p.cluster.admin, p.meter, trafficOptions{prefix: p.prefix, rate: rate, plain: plain, dialer: p.dialer()})
	for _, probe := range p.traffic.probes {
		p.trafficKeys = append(p.trafficKeys, probe.key)
	}
	p.round = time.Now()
	return nil
}

// dialer is how a running cluster is reached; nil: as private ones are.
func (p *Player) dialer() client.DialFunc {
	if p.opts.Running == nil {
		return nil
	}
	return p.opts.Running.Client.Dialer
}

// trafficRound tells how the traffic fared since the last round.
func (p *Player) trafficRound() {
	byClient, plain, requests, failed := p.traffic.longest(p.round)
	p.round = time.Now()
	p.say("round: longest request %d ms by the client, %d ms by a plain one, %d failed of %d so far",
		byClient.Milliseconds(), plain.Milliseconds(), len(failed), requests)
}

// terminateVerb ends a server as an operator does before a restart.
func (p *Player) terminateVerb(ctx context.Context, args []string) (string, error) {
	if p.cluster == nil {
		return "", errNoCluster
	}
	if len(args) != 1 {
		return "", script.ErrUsage
	}
	p.change(args[0] + " was terminated")
	began := time.Now()
	if err := p.cluster.Terminate(ctx, args[0]); err != nil {
		return "", err
	}
	took := time.Since(began)
	p.say("%s ended after %d ms", args[0], took.Milliseconds())
	return "", nil
}

// outageVerb kills a server and measures for how long its keys can't be written.
func (p *Player) outageVerb(ctx context.Context, args []string) (string, error) {
	switch {
	case p.cluster == nil:
		return "", errNoCluster
	case len(args) != 1:
		return "", script.ErrUsage
	case p.traffic == nil:
		return "", errors.New("an outage is measured by traffic: start it first")
	}
	nodes, err := p.cluster.find(args[0])
	if err != nil {
		return "", err
	}
	if len(nodes) != 1 || nodes[0] == p.cluster.leader {
		return "", script.ErrUsage
	}
	p.change(args[0] + " was killed")
	o, err := p.traffic.measureOutage(ctx, nodes[0].id, func() error { return p.cluster.Kill(args[0]) })
	if err != nil {
		return "", err
	}
	p.say("outage %s: %d keys, down in the view after %d ms, written again from %d to %d ms",
		args[0], o.keys, o.down.Milliseconds(), o.first.Milliseconds(), o.all.Milliseconds())
	return "", errors.Join(p.set("outage.keys", o.keys), p.set("outage.down", o.down.Milliseconds()),
		p.set("outage.first", o.first.Milliseconds()), p.set("outage.all", o.all.Milliseconds()))
}

// expectStall checks the longest request of the traffic that has ended.
func (p *Player) expectStall(most time.Duration) error {
	if p.traffic != nil {
		return errors.New("stop the traffic first")
	}
	if p.stalls == 0 {
		return errors.New("no request of the traffic was answered")
	}
	if p.stalls > most {
		return fmt.Errorf("the longest request took %v, not %v at most", p.stalls.Round(time.Millisecond), most)
	}
	return nil
}
