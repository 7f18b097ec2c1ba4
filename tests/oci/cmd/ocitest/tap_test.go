package main

import (
	"strings"
	"testing"
)

func TestProgramsAreJudgedByCasesPlanStatusAndReportedErrors(t *testing.T) {
	yaml := "  ---\n  {\n    \"error\": \"Hooks MUST be called\"\n  }\n  ...\n"
	for _, c := range []struct {
		name, output string
		status       int
		failed       string
	}{
		{"cases that pass", "TAP version 13\nok 1 - a\nok 2 - b\n1..2\n", 0, ""},
		{"a case that fails", "ok 1 - a\nnot ok 2 - b is set\n1..2\n", 0, "b is set"},
		{"a case without a name", "not ok 1\n1..1\n", 0, "case 1"},
		{"a skipped case", "ok 1 # SKIP no user namespace\n1..1\n", 0, ""},
		{"an exit status", "ok 1 - a\n1..1\n", 1, caseStatus},
		{"a killed program", "ok 1 - a\n", 137, caseStatus},
		{"fewer cases than planned", "1..3\nok 1 - a\n", 0, casePlan},
		{"two plans", "ok 1 - a\nok 2 - b\n1..2\nTAP version 13\n1..0\n", 0, ""},
		{"no output at all", "", 0, ""},
		{"no case, no error", "TAP version 13\n1..0\n", 0, ""},
		{"no case, an error", "TAP version 13\n" + yaml + "1..0\n", 0, caseError},
		{"an error told with a case that passed", "ok 1 - a\n" + yaml + "1..1\n", 0, ""},
	} {
		if got := strings.Join(readTap(c.output, c.status).Failed, ","); got != c.failed {
			t.Errorf("%s: failed cases %q, want %q", c.name, got, c.failed)
		}
	}
}
