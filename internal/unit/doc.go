// Package unit tells the service manager that started a process, systemd or one that speaks its
// protocol (sd_notify), how the process is: ready, what it waits for, reading its files again, on
// its way to its end.
package unit
