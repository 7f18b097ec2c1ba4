package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func named(names ...string) map[string]junitCase {
	specs := map[string]junitCase{}
	for _, name := range names {
		specs[name] = junitCase{Name: name, Status: "passed"}
	}
	return specs
}

// outcome is "pass", or what the case says.
func outcome(t *testing.T, cases []junitCase, name string) string {
	t.Helper()
	for _, c := range cases {
		if c.Name == name {
			switch {
			case c.Failure != nil:
				return "failure: " + c.Failure.Message
			case c.Skipped != nil:
				return "skip: " + c.Skipped.Message
			}
			return "pass"
		}
	}
	t.Fatalf("no case %q", name)
	return ""
}

func TestEachDifferenceFromTheListFails(t *testing.T) {
	results := named("passes", "passes but listed", "unknown to the dry run")
	failing := junitCase{Status: "failed", Failure: &junitMessage{"first\nsecond"}}
	results["fails"], results["fails as listed"] = failing, failing
	results["skips"] = junitCase{Status: "skipped", Skipped: &junitMessage{"no AppArmor"}}
	results["skips but listed"] = results["skips"]
	results["benchmark"] = junitCase{Status: "skipped"}
	selected := named("passes", "passes but listed", "fails", "fails as listed", "skips", "skips but listed", "never ran")
	expected := map[string]string{"passes but listed": "old", "fails as listed": "why", "skips but listed": "old", "no such spec": "old"}

	cases := compare(selected, results, expected)
	for name, want := range map[string]string{
		"passes":                 "pass",
		"passes but listed":      "failure: passed, but",
		"fails":                  "failure: first",
		"fails as listed":        "skip: expected failure: why",
		"skips":                  "skip: no AppArmor",
		"skips but listed":       "failure: skipped, but",
		"never ran":              "failure: did not run",
		"no such spec":           "failure: is listed",
		"unknown to the dry run": "failure: ran, but",
	} {
		if got := outcome(t, cases, name); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if len(cases) != len(selected)+2 { // the benchmark is no case
		t.Errorf("%d cases", len(cases))
	}
}

func TestExpectedFailuresNeedAReason(t *testing.T) {
	for text, good := range map[string]bool{
		"# comment\n\nspec with Uid|Username | reason\n": true,
		"spec\n":                        false,
		"spec | \n":                     false,
		"spec | reason\nspec | again\n": false,
	} {
		path := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readExpectedFailures(path); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
