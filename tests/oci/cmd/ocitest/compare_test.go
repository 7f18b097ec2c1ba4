package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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

func TestOnlyListedFailuresAndThoseOfRuncAreExcused(t *testing.T) {
	failing := func(names ...string) verdict { return verdict{Failed: names} }
	ours := map[string]verdict{
		"passes": {Passed: 3}, "passes, listed": {}, "passes alone": {},
		"fails": failing("a"), "fails as runc": failing("a"), "listed": failing("a", "b"),
		"listed in part": failing("a", "c"), "fails less than listed": failing("a"),
		"leaves": {Left: []string{"cgroup /x"}},
	}
	beside := map[string]verdict{"fails as runc": failing("z"), "passes alone": failing("z")}
	ab := map[string]string{"a": "because", "b": "because"}
	expected := expectedFailures{"passes, listed": ab, "listed": ab, "listed in part": ab,
		"fails less than listed": ab, "no such program": ab}
	programs := []string{"passes", "passes, listed", "passes alone", "fails", "fails as runc", "listed",
		"listed in part", "fails less than listed", "leaves", "never ran"}

	cases := compare(programs, ours, beside, expected)
	for name, want := range map[string]string{
		"passes":                 "pass",
		"passes leaves nothing":  "pass",
		"passes alone":           "pass",
		"passes, listed":         "failure: passed, but",
		"fails":                  `failure: fails, and runc passes it in the same run: "a"`,
		"fails as runc":          `skip: fails where runc fails it too. Here: "a"; runc: "z"`,
		"listed":                 "skip: expected failure: because",
		"listed in part":         "failure: ",
		"fails less than listed": `failure: "b" passed, but`,
		"leaves leaves nothing":  "failure: left behind: cgroup /x",
		"never ran":              "failure: did not run",
		"no such program":        "failure: is listed",
	} {
		if got := outcome(t, cases, name); !strings.HasPrefix(got, want) || (want == "pass" && got != want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestTheListIsRefusedWhenMalformedOrTooLong(t *testing.T) {
	read := func(text string) error {
		path := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readExpected(path)
		return err
	}
	for text, refused := range map[string]bool{
		"# note\n\na | b | c\na | b2 | c | with a bar\n": false,
		"a | b\n":                            true,
		"a | b | c\na | b | d\n":             true,
		strings.Repeat("x", 3) + " |  | c\n": true,
		"1|2\n":                              true,
		"a | c | r\nb | c | r\nc | c | r\nd | c | r\ne | c | r\nf | c | r\ng | c | r\nh | c | r\ni | c | r\n": true,
	} {
		if err := read(text); (err != nil) != refused {
			t.Errorf("%q: %v", text, err)
		}
	}
}
