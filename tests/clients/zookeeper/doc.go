// Package zookeeper runs the ZooKeeper clients that people use against viewring's ZooKeeper
// front, and against ZooKeeper itself where it is installed, feature by feature; and kazoo's
// recipes while servers, fronts and view leaders are killed. README.md has the results.
package zookeeper
