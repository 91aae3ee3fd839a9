// Package metrics is the port that a process tells its figures at: /metrics for Prometheus,
// /healthz and /readyz for whoever starts and stops it, /debug/pprof where that is asked for.
// What runs in the process declares its families and adds a Service to the Endpoint; at each
// scrape it tells what it has counted by itself.
//
// README.md has a table of all families, dashboard.json is a dashboard of Grafana, alerts.yml has rules of alerts.
package metrics
