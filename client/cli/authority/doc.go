// Package authority makes the files that a cluster with TLS and a password needs: a private
// authority, certificates by it for hosts and for people's commands, and a password. It keeps
// them in one folder, all readable for their owner alone.
package authority
