package main

import (
	"fmt"
	"slices"
	"strings"
)

// compare makes the lane's cases of the verdicts by program: one for what the program says, one for
// what it leaves behind. A program passes, or fails where the runtime beside it fails the same program
// in the same run, or fails in the listed cases. Every other difference is a failure.
func compare(programs []string, ours, beside map[string]verdict, expected expectedFailures) []junitCase {
	var cases []junitCase
	for _, program := range programs {
		v, ran := ours[program]
		if !ran {
			cases = append(cases, junitCase{Name: program, Failure: &junitMessage{"did not run"}})
			continue
		}
		c := junitCase{Name: program, Time: v.Seconds}
		judge(&c, v, beside[program], expected[program])
		cases = append(cases, c)
		left := junitCase{Name: program + " leaves nothing"}
		if len(v.Left) > 0 {
			left.Failure = &junitMessage{"left behind: " + strings.Join(v.Left, "; ")}
		}
		cases = append(cases, left)
	}
	for program := range expected {
		if !slices.Contains(programs, program) {
			cases = append(cases, junitCase{Name: program,
				Failure: &junitMessage{"is listed as an expected failure, but there is no such program"}})
		}
	}
	return cases
}

func judge(c *junitCase, v, beside verdict, listed map[string]string) {
	reasons := reasonsFor(v.Failed, listed)
	switch {
	case v.passed() && len(listed) > 0:
		c.Failure = &junitMessage{"passed, but is listed as an expected failure: take it off the list"}
	case v.passed():
	case !beside.passed():
		c.Skipped = &junitMessage{fmt.Sprintf("fails where runc fails it too. Here: %s; runc: %s",
			quote(v.Failed), quote(beside.Failed))}
	case reasons == "":
		c.Failure = &junitMessage{"fails, and runc passes it in the same run: " + quote(v.Failed)}
	default:
		c.Skipped = &junitMessage{"expected failure: " + reasons}
	}
	// A row that no longer fails is taken off, however the rest went.
	for listedCase := range listed {
		if !v.passed() && !slices.Contains(v.Failed, listedCase) {
			c.Skipped = nil
			c.Failure = &junitMessage{fmt.Sprintf("%q passed, but is listed as an expected failure", listedCase)}
		}
	}
}

// reasonsFor is empty when a failed case is not listed.
func reasonsFor(failed []string, listed map[string]string) string {
	var reasons []string
	for _, name := range failed {
		reason, found := listed[name]
		if !found {
			return ""
		}
		if !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	return strings.Join(reasons, "; ")
}

func quote(names []string) string {
	const most = 6
	var quoted []string
	for _, name := range names {
		if text := fmt.Sprintf("%q", name); !slices.Contains(quoted, text) {
			quoted = append(quoted, text)
		}
	}
	if more := len(quoted) - most; more > 0 {
		quoted = append(quoted[:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(quoted, ", ")
}
