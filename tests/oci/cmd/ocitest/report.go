package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"strings"
)

const suiteName = "runtime-tools"

// tests/lib/lanes.sh joins and counts reports by lines: one line a case.
type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name  string      `xml:"name,attr"`
	Cases []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    float64       `xml:"time,attr"`
	Failure *junitMessage `xml:"failure"`
	Skipped *junitMessage `xml:"skipped"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}

func writeJunit(path, suite string, cases []junitCase) error {
	for i := range cases {
		cases[i].Class = suite
		for _, m := range []*junitMessage{cases[i].Failure, cases[i].Skipped} {
			if m != nil {
				m.Message = strings.ToValidUTF8(m.Message, "?")
			}
		}
	}
	data, err := xml.MarshalIndent(junitSuites{Suites: []junitSuite{{Name: suite, Cases: cases}}}, "", "")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// writeExpectedSkips writes rows of the form of tests/expected_skips: which programs runc fails too is
// known only after the run.
func writeExpectedSkips(path string, cases []junitCase) error {
	var rows strings.Builder
	for _, c := range cases {
		if c.Skipped != nil {
			fmt.Fprintf(&rows, "%s.%s | true | %s\n", suiteName, c.Name, strings.ReplaceAll(c.Skipped.Message, " | ", " / "))
		}
	}
	return os.WriteFile(path, []byte(rows.String()), 0o644)
}

func summarize(cases []junitCase, programs []string, ours, beside map[string]verdict) {
	for _, c := range cases {
		switch {
		case c.Failure != nil:
			fmt.Printf("UNEXPECTED %s\n    %s\n", c.Name, c.Failure.Message)
		case c.Skipped != nil:
			fmt.Printf("EXCUSED    %s\n    %s\n", c.Name, c.Skipped.Message)
		}
	}
	passed, both, besidePassed := 0, 0, 0
	for _, program := range programs {
		mine, theirs := ours[program].passed(), beside[program].passed()
		if mine {
			passed++
		}
		if theirs {
			besidePassed++
		}
		if mine && theirs {
			both++
		}
	}
	fmt.Printf("runtime-tools: of %d programs berth-oci passes %d, runc %d, both %d\n",
		len(programs), passed, besidePassed, both)
}
