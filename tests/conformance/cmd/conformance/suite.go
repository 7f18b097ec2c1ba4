package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

type testEvent struct {
	Action  string
	Test    string
	Elapsed float64
	Output  string
}

// suite runs a compiled Go test program and writes its leaf cases as JUnit; its text goes to the log.
func suite(args []string) error {
	flags := flag.NewFlagSet("suite", flag.ExitOnError)
	program := flags.String("program", "", "the test program")
	run := flags.String("run", "", "which tests: a -test.run pattern")
	out := flags.String("out", "", "JUnit report")
	logPath := flags.String("log", "", "text output")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log, err := os.Create(*logPath)
	if err != nil {
		return err
	}
	defer log.Close()
	test := exec.Command(*program, "-test.v=test2json", "-test.timeout=20m", "-test.run="+*run)
	convert := exec.Command("go", "tool", "test2json", "-t")
	test.Stderr = os.Stderr
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	test.Stdout, convert.Stdin = writer, reader
	events, err := convert.StdoutPipe()
	if err != nil {
		return err
	}
	if err := errors.Join(convert.Start(), test.Start()); err != nil {
		return err
	}
	_ = writer.Close() // the test program has its own copy; without this one the converter sees no end
	_ = reader.Close()
	cases, err := readEvents(events, log)
	if err != nil {
		return err
	}
	failed := test.Wait()
	if err := convert.Wait(); err != nil {
		return err
	}
	if len(cases) == 0 {
		cases = append(cases, junitCase{Name: "Suite", Failure: &junitMessage{fmt.Sprintf("ran no test: %v", failed)}})
	}
	return errors.Join(writeJunit(*out, "cri", cases), failed)
}

func readEvents(events io.Reader, log io.Writer) ([]junitCase, error) {
	var order []string
	done := map[string]*junitCase{}
	output := map[string]*strings.Builder{}
	decoder := json.NewDecoder(events)
	for {
		var e testEvent
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if _, err := io.WriteString(log, e.Output); err != nil {
			return nil, err
		}
		if e.Test == "" {
			continue
		}
		switch e.Action {
		case "run":
			order = append(order, e.Test)
			done[e.Test] = &junitCase{Name: e.Test, Failure: &junitMessage{"did not end"}}
			output[e.Test] = &strings.Builder{}
		case "output":
			output[e.Test].WriteString(e.Output)
		case "pass":
			*done[e.Test] = junitCase{Name: e.Test, Time: e.Elapsed}
		case "fail":
			*done[e.Test] = junitCase{Name: e.Test, Time: e.Elapsed, Failure: &junitMessage{message(output[e.Test].String())}}
		case "skip":
			*done[e.Test] = junitCase{Name: e.Test, Time: e.Elapsed, Skipped: &junitMessage{message(output[e.Test].String())}}
		}
	}
	var cases []junitCase
	for i, name := range order {
		isParent := i+1 < len(order) && strings.HasPrefix(order[i+1], name+"/")
		// A parent counts only when it fails by itself, not for a child.
		if isParent && (done[name].Failure == nil || anyChildFailed(order, done, name)) {
			continue
		}
		if done[name].Failure != nil {
			fmt.Printf("FAILED %s\n    %s\n", name, strings.ReplaceAll(done[name].Failure.Message, "\n", "\n    "))
		}
		cases = append(cases, *done[name])
	}
	fmt.Printf("suite: %d cases\n", len(cases))
	return cases, nil
}

func anyChildFailed(order []string, done map[string]*junitCase, parent string) bool {
	for _, name := range order {
		if strings.HasPrefix(name, parent+"/") && done[name].Failure != nil {
			return true
		}
	}
	return false
}

// message is what the test itself wrote, without the lines of the test runner.
func message(output string) string {
	var kept []string
	for _, line := range strings.Split(output, "\n") {
		trimmed := strings.TrimSpace(line)
		if trimmed != "" && !strings.HasPrefix(trimmed, "=== ") && !strings.HasPrefix(trimmed, "--- ") {
			kept = append(kept, trimmed)
		}
	}
	return firstLines(strings.Join(kept, "\n"), 12)
}
