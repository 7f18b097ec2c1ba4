// nonewprivs is installed setuid-root in the image of that name; critest compares its line whole.
package main

import (
	"fmt"
	"os"
)

func main() { fmt.Printf("Effective uid: %d\n", os.Geteuid()) }
