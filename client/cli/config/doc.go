// Package config reads configuration files of the command line: YAML, with a section for each
// command, and below it the values of its flags. It keeps the line of each value, so that
// errors can name it, and takes values as they are written: what they mean is for the flags.
package config
