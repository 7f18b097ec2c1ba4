package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
)

// critest compares a run's report with the dry run's and with the list of expected failures, by name
// and in both directions, and writes the lane's report. In it an expected failure is a skip with its
// reason, and every spec of the dry run is there once. It also writes the list by which
// tests/lib/check_skips knows those skips.
func critest(args []string) error {
	flags := flag.NewFlagSet("critest", flag.ExitOnError)
	dry := flags.String("dry", "", "JUnit report of the dry run")
	ran := flags.String("ran", "", "JUnit report of the run")
	list := flags.String("expected", "", "the list of expected failures")
	out := flags.String("out", "", "the lane's report")
	skips := flags.String("skips", "", "where to write the expected skips")
	if err := flags.Parse(args); err != nil {
		return err
	}
	selected, err := readSpecs(*dry)
	if err != nil {
		return err
	}
	for name, c := range selected {
		if c.Status == "skipped" { // the benchmarks, which critest itself leaves out
			delete(selected, name)
		}
	}
	expected, err := readExpectedFailures(*list)
	if err != nil {
		return err
	}
	results, err := readSpecs(*ran)
	if err != nil {
		fmt.Printf("critest left no report: %v\n", err)
	}
	cases := compare(selected, results, expected)
	summarize(cases, len(selected))
	if err := writeExpectedSkips(*skips, cases, expected); err != nil {
		return err
	}
	return writeJunit(*out, "critest", cases)
}

// readSpecs gives the specs of a Ginkgo report by name.
func readSpecs(path string) (map[string]junitCase, error) {
	suites, err := readJunit(path)
	if err != nil {
		return nil, err
	}
	specs := map[string]junitCase{}
	for _, suite := range suites.Suites {
		for _, c := range suite.Cases {
			name, isSpec := strings.CutPrefix(c.Name, "[It] ")
			if !isSpec { // BeforeSuite and the like
				continue
			}
			if _, twice := specs[name]; twice {
				return nil, fmt.Errorf("%s: two specs are called %q", path, name)
			}
			specs[name] = c
		}
	}
	return specs, nil
}

// readExpectedFailures reads "spec | reason" lines; # begins a comment.
func readExpectedFailures(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	expected := map[string]string{}
	scanner := bufio.NewScanner(file)
	for number := 1; scanner.Scan(); number++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, found := strings.Cut(line, " | ")
		if !found || name == "" || reason == "" {
			return nil, fmt.Errorf("%s:%d: wanted \"SPEC | REASON\"", path, number)
		}
		if _, twice := expected[name]; twice {
			return nil, fmt.Errorf("%s:%d: %q is listed twice", path, number, name)
		}
		expected[name] = reason
	}
	return expected, scanner.Err()
}

func compare(selected, results map[string]junitCase, expected map[string]string) []junitCase {
	var cases []junitCase
	for name := range selected {
		result, ran := results[name]
		reason, listed := expected[name]
		c := junitCase{Name: name, Time: result.Time}
		failure := result.Failure
		if failure == nil {
			failure = result.Error
		}
		switch {
		case !ran:
			c.Failure = &junitMessage{"did not run"}
		case failure != nil && listed:
			c.Skipped = &junitMessage{"expected failure: " + reason}
		case failure != nil:
			c.Failure = &junitMessage{firstLines(failure.Message, 12)}
		case listed:
			c.Failure = &junitMessage{result.Status + ", but is listed as an expected failure: take it off the list"}
		case result.Skipped != nil || result.Status == "skipped":
			c.Skipped = &junitMessage{"skipped by critest"}
			if result.Skipped != nil {
				c.Skipped = &junitMessage{result.Skipped.Message}
			}
		}
		cases = append(cases, c)
	}
	for name := range expected {
		if _, known := selected[name]; !known {
			cases = append(cases, junitCase{Name: name, Failure: &junitMessage{"is listed as an expected failure, but critest has no such spec"}})
		}
	}
	for name, result := range results {
		if _, known := selected[name]; !known && result.Status != "skipped" {
			cases = append(cases, junitCase{Name: name, Failure: &junitMessage{"ran, but the dry run does not have it"}})
		}
	}
	sort.Slice(cases, func(a, b int) bool { return cases[a].Name < cases[b].Name })
	return cases
}

func summarize(cases []junitCase, selected int) {
	passed, unexpected, expected, skipped := 0, 0, 0, 0
	for _, c := range cases {
		switch {
		case c.Failure != nil:
			unexpected++
			fmt.Printf("UNEXPECTED %s\n    %s\n", c.Name, strings.ReplaceAll(c.Failure.Message, "\n", "\n    "))
		case c.Skipped != nil && strings.HasPrefix(c.Skipped.Message, "expected failure: "):
			expected++
		case c.Skipped != nil:
			skipped++
			fmt.Printf("SKIPPED    %s\n    %s\n", c.Name, firstLines(c.Skipped.Message, 2))
		default:
			passed++
		}
	}
	fmt.Printf("critest: %d passed, %d unexpected, %d failed as expected, %d skipped by critest; the dry run has %d\n",
		passed, unexpected, expected, skipped, selected)
}

// writeExpectedSkips writes rows of the form of tests/expected_skips.
func writeExpectedSkips(path string, cases []junitCase, expected map[string]string) error {
	// check_skips matches names as shell patterns.
	escape := strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]")
	var rows strings.Builder
	for _, c := range cases {
		if reason, listed := expected[c.Name]; listed && c.Skipped != nil {
			fmt.Fprintf(&rows, "critest.%s | true | %s\n", escape.Replace(c.Name), reason)
		}
	}
	return os.WriteFile(path, []byte(rows.String()), 0o644)
}
