// Package bench measures a running cluster the way a cluster-aware Redis client
// would use it: each connection goes to one server and asks only for keys whose
// primary that server is.
package bench
