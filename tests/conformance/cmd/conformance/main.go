// conformance is the lane's own tool: it fills the registry, waits for sockets, tidies up after critest
// and turns what ran into JUnit. tests/conformance/run calls it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"berth.dev/tests/conformance/registry"
	"berth.dev/tests/conformance/testimages"
)

var commands = map[string]func([]string) error{
	"push":    push,
	"wait":    wait,
	"empty":   empty,
	"suite":   suite,
	"critest": critest,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: conformance push|wait|empty|suite|critest [FLAGS]")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "conformance %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// push waits for the registry and fills it.
func push(args []string) error {
	flags := flag.NewFlagSet("push", flag.ExitOnError)
	address := flags.String("registry", "", "host:port")
	set := flags.String("set", "", "suite or critest")
	var in testimages.Inputs
	flags.StringVar(&in.Busybox, "busybox", "", "static busybox")
	flags.StringVar(&in.Nginx, "nginx", "", "tree of fetch_nginx")
	flags.StringVar(&in.NoNewPrivs, "nonewprivs", "", "program")
	if err := flags.Parse(args); err != nil {
		return err
	}
	client := registry.NewClient(*address)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := client.Ready(ctx); err != nil {
		return err
	}
	switch *set {
	case "suite":
		return testimages.PushSuite(client, in)
	case "critest":
		return testimages.PushCritest(client, in)
	}
	return fmt.Errorf("no set of images is called %q", *set)
}
