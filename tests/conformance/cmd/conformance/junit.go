package main

import (
	"encoding/xml"
	"os"
	"strings"
)

// One form for reading (Ginkgo's reports) and writing (the lane's). tests/lib/lanes.sh joins and counts
// reports by lines: one line a case.
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
	Status  string        `xml:"status,attr,omitempty"`
	Failure *junitMessage `xml:"failure"`
	Error   *junitMessage `xml:"error"`
	Skipped *junitMessage `xml:"skipped"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}

func readJunit(path string) (junitSuites, error) {
	var suites junitSuites
	data, err := os.ReadFile(path)
	if err != nil {
		return suites, err
	}
	return suites, xml.Unmarshal(data, &suites)
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

// firstLines is enough of a message to know what to look for in the log.
func firstLines(text string, count int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > count {
		lines = append(lines[:count], "...")
	}
	return strings.Join(lines, "\n")
}
