package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// runner runs programs on runtimes, each run on a node of its own (in_node). Safe for several threads.
type runner struct {
	programs string        // directory of the programs, runtimetest and the root file system
	scripts  string        // directory of in_node and run_program
	work     string        // scratch space
	logs     string        // where outputs are kept
	tag      string        // begins the names of cgroups
	limit    time.Duration // for one program
}

type runtimeUnderTest struct {
	name, path string
}

// run gives the verdict of one program; its output is in logs/RUNTIME/PROGRAM.{tap,err}.
func (r *runner) run(program string, under runtimeUnderTest) (verdict, error) {
	dir := filepath.Join(r.work, under.name, program)
	logs := filepath.Join(r.logs, under.name)
	for _, path := range []string{dir, logs} {
		// Root of a user namespace has to reach the bundle.
		if err := os.MkdirAll(path, 0o755); err != nil {
			return verdict{}, err
		}
	}
	defer os.RemoveAll(dir)
	// The node ends by itself after the limit; past twice that something is wrong with the node.
	ctx, cancel := context.WithTimeout(context.Background(), 2*r.limit+time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(r.scripts, "in_node"),
		fmt.Sprintf("%s-%s-%s", r.tag, under.name, program),
		filepath.Join(r.scripts, "run_program"), under.path, filepath.Join(r.programs, program))
	command.Env = append(os.Environ(), "NODE_DIR="+dir, fmt.Sprintf("LIMIT=%d", int(r.limit.Seconds())))
	started := time.Now()
	nodeOutput, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return verdict{}, fmt.Errorf("%s on %s: %w", program, under.name, err)
	}
	status := command.ProcessState.ExitCode()
	tap, err := os.ReadFile(filepath.Join(dir, "tap"))
	if err != nil {
		return verdict{}, fmt.Errorf("%s on %s: no node: %s", program, under.name, nodeOutput)
	}
	stderr, _ := os.ReadFile(filepath.Join(dir, "err"))
	left, _ := os.ReadFile(filepath.Join(dir, "left"))
	stderr = append(append(stderr, nodeOutput...), fmt.Sprintf("exit status %d\n%s", status, left)...)
	for suffix, content := range map[string][]byte{".tap": tap, ".err": stderr} {
		if err := os.WriteFile(filepath.Join(logs, program+suffix), content, 0o600); err != nil {
			return verdict{}, err
		}
	}
	v := readTap(string(tap), status)
	v.Seconds = time.Since(started).Seconds()
	for _, line := range strings.Split(strings.TrimSpace(string(left)), "\n") {
		if line != "" {
			v.Left = append(v.Left, line)
		}
	}
	return v, nil
}

// runAll runs each program on each runtime, jobs at a time.
func (r *runner) runAll(programs []string, runtimes []runtimeUnderTest, jobs int) (map[string]map[string]verdict, error) {
	type task struct {
		program string
		under   runtimeUnderTest
	}
	tasks := make(chan task)
	verdicts := map[string]map[string]verdict{}
	for _, under := range runtimes {
		verdicts[under.name] = map[string]verdict{}
	}
	var mu sync.Mutex
	var failed error
	var workers sync.WaitGroup
	for range jobs {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for t := range tasks {
				v, err := r.run(t.program, t.under)
				mu.Lock()
				if err != nil {
					failed = errors.Join(failed, err)
				} else {
					verdicts[t.under.name][t.program] = v
				}
				mu.Unlock()
			}
		}()
	}
	for _, program := range programs {
		for _, under := range runtimes {
			tasks <- task{program, under}
		}
	}
	close(tasks)
	workers.Wait()
	return verdicts, failed
}
