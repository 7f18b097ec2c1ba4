package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// verdict is what one run of one program says of a runtime.
type verdict struct {
	Failed  []string // the cases that failed, in order; without one the program passed
	Passed  int      // cases
	Seconds float64
	Left    []string // what was there after every container had been deleted by force
}

func (v verdict) passed() bool { return len(v.Failed) == 0 }

// What is no case of the program fails under these names.
const (
	caseStatus = "(exit status)"
	casePlan   = "(plan)"
	caseError  = "(error)"
)

var (
	tapLine = regexp.MustCompile(`^(not )?ok\b *[0-9]*( - )?(.*)$`)
	tapPlan = regexp.MustCompile(`^1\.\.([0-9]+)`)
)

// readTap judges a program by its output and exit status. Besides "not ok" and a status that is not 0
// a program fails whose plans tell of another number of cases (one prints two), and one that has no case at all and
// reports an "error" in a YAML block: the programs for hooks have no other way.
func readTap(output string, status int) verdict {
	var v verdict
	cases, planned, hasPlan, reportsError := 0, 0, false, false
	for _, line := range strings.Split(output, "\n") {
		if plan := tapPlan.FindStringSubmatch(line); plan != nil {
			count, _ := strconv.Atoi(plan[1])
			planned, hasPlan = planned+count, true
		} else if c := tapLine.FindStringSubmatch(line); c != nil {
			cases++
			name := strings.TrimSpace(c[3])
			if name == "" {
				name = fmt.Sprintf("case %d", cases)
			}
			if c[1] == "" {
				v.Passed++
			} else {
				v.Failed = append(v.Failed, name)
			}
		} else if strings.HasPrefix(line, `    "error":`) {
			reportsError = true
		}
	}
	if status != 0 {
		v.Failed = append(v.Failed, caseStatus)
	}
	if hasPlan && planned != cases {
		v.Failed = append(v.Failed, casePlan)
	}
	if cases == 0 && reportsError {
		v.Failed = append(v.Failed, caseError)
	}
	return v
}
