// Package bulk puts whole folders into the store and checks that they are still
// there: each regular file is a key, its path below the folder with slashes, and
// the value is its content.
package bulk
