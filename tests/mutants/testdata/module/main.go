// Command example prints a sum, for tests that build it.
package main

import (
	"fmt"

	"example/sum"
)

func main() {
	const a = 2
	fmt.Println(sum.Of(a, 3))
}
