// Package doctor looks for what is wrong with a cluster: it asks the view leaders and servers, and says of
// all that it finds what to do. It changes nothing.
package doctor
