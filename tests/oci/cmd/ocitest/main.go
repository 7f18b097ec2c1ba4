// ocitest runs the validation programs of runtime-tools on berth-oci and, beside it, on runc, holds
// the outcome against a list of expected failures and writes the lane's report.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ocitest:", err)
		os.Exit(1)
	}
}

// attempts: some programs race with the container they look at (killsig signals a shell that may not
// have set its trap), so that on a busy machine one of two runtimes fails by chance. A program on
// which they differ is run again alone, on both; the last attempt counts.
const (
	attempts = 3
	byChance = 6 // more programs than these do not differ by chance
)

func run() error {
	var r runner
	flag.StringVar(&r.programs, "programs", "", "directory of the programs, runtimetest and rootfs-ARCH.tar.gz")
	flag.StringVar(&r.scripts, "scripts", "", "directory of in_node and run_program")
	flag.StringVar(&r.work, "work", "", "scratch directory")
	flag.StringVar(&r.tag, "tag", "", "begins the names of cgroups")
	flag.DurationVar(&r.limit, "limit", 2*time.Minute, "for one program")
	ours := flag.String("runtime", "", "path of berth-oci")
	beside := flag.String("beside", "", "path of runc")
	list := flag.String("expected", "", "the list of expected failures")
	reports := flag.String("reports", "", "report directory")
	jobs := flag.Int("jobs", 4, "programs at a time")
	only := flag.String("only", "", "comma-separated programs; all without it")
	flag.Parse()
	r.logs = filepath.Join(*reports, "runtime-tools")

	expected, err := readExpected(*list)
	if err != nil {
		return err
	}
	programs, err := choose(r.programs, *only)
	if err != nil {
		return err
	}
	if *only != "" {
		for program := range expected {
			if !strings.Contains(","+*only+",", ","+program+",") {
				delete(expected, program)
			}
		}
	}
	berth, runc := runtimeUnderTest{"berth-oci", *ours}, runtimeUnderTest{"runc", *beside}
	both := []runtimeUnderTest{berth, runc}
	verdicts, err := r.runAll(programs, both, *jobs)
	if err != nil {
		return err
	}
	for range attempts - 1 {
		differ := onlyBesidePasses(programs, verdicts[berth.name], verdicts[runc.name], expected)
		if len(differ) > byChance {
			break
		}
		for _, program := range differ {
			fmt.Printf("again: %s\n", program)
			again, err := r.runAll([]string{program}, both, 1)
			if err != nil {
				return err
			}
			verdicts[berth.name][program] = again[berth.name][program]
			verdicts[runc.name][program] = again[runc.name][program]
		}
	}
	cases := compare(programs, verdicts[berth.name], verdicts[runc.name], expected)
	summarize(cases, programs, verdicts[berth.name], verdicts[runc.name])
	if err := writeExpectedSkips(filepath.Join(*reports, "expected_skips"), cases); err != nil {
		return err
	}
	return writeJunit(filepath.Join(*reports, "runtime-tools.xml"), suiteName, cases)
}

func onlyBesidePasses(programs []string, ours, beside map[string]verdict, expected expectedFailures) []string {
	var differ []string
	for _, program := range programs {
		if !ours[program].passed() && beside[program].passed() && len(expected[program]) == 0 {
			differ = append(differ, program)
		}
	}
	return differ
}

// choose gives the names of the programs in dir, in order.
func choose(dir, only string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var programs []string
	for _, entry := range entries {
		name := entry.Name()
		if name == "runtimetest" || strings.HasPrefix(name, "rootfs-") {
			continue
		}
		if only == "" || strings.Contains(","+only+",", ","+name+",") {
			programs = append(programs, name)
		}
	}
	if len(programs) == 0 {
		return nil, fmt.Errorf("no program in %s", dir)
	}
	return programs, nil
}
