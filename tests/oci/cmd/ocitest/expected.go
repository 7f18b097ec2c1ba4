package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// maxExpected programs may be listed: issue 4's bound.
const maxExpected = 8

// expectedFailures: program → case → the specification's reason.
type expectedFailures map[string]map[string]string

// readExpected reads "PROGRAM | CASE | REASON" lines; # begins a comment.
func readExpected(path string) (expectedFailures, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	expected := expectedFailures{}
	scanner := bufio.NewScanner(file)
	for number := 1; scanner.Scan(); number++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.SplitN(line, " | ", 3)
		if len(fields) != 3 || fields[0] == "" || fields[1] == "" || fields[2] == "" {
			return nil, fmt.Errorf("%s:%d: wanted \"PROGRAM | CASE | REASON\"", path, number)
		}
		cases := expected[fields[0]]
		if cases == nil {
			cases = map[string]string{}
			expected[fields[0]] = cases
		}
		if _, twice := cases[fields[1]]; twice {
			return nil, fmt.Errorf("%s:%d: case %q of %s is listed twice", path, number, fields[1], fields[0])
		}
		cases[fields[1]] = fields[2]
	}
	if len(expected) > maxExpected {
		return nil, fmt.Errorf("%s lists %d programs, at most %d may be", path, len(expected), maxExpected)
	}
	return expected, scanner.Err()
}
