// Package jute reads and writes the messages of ZooKeeper's client protocol, as the clients of
// 3.4 and later speak it. They are records of jute, ZooKeeper's serialization: integers of 4 and 8
// bytes, the most significant first, strings and vectors behind their lengths. Source:
// zookeeper.jute, ZooDefs and KeeperException of Apache ZooKeeper. Pure.
package jute
