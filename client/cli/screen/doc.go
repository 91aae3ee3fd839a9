// Package screen shows a cluster live on a terminal: what 'viewring query_servers --watch' is there. It knows
// neither cluster nor network. A Source tells what there is to show, in its own words.
//
// The model is pure: it gets messages (keys, readings, the time) and makes text of what it knows. Run
// puts it on a terminal.
package screen
