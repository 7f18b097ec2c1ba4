package suite

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestCreateContainer(t *testing.T) {
	t.Run("runs nothing of the workload", func(t *testing.T) {
		p := runPod(t)
		id := create(t, p, containerConfig("echo started"))
		s := statusOf(t, id)
		wantEqual(t, "state", s.GetState(), cri.ContainerState_CONTAINER_CREATED)
		wantEqual(t, "started_at", s.GetStartedAt(), 0)
	})
	t.Run("a retry of the same identity gets the same container", func(t *testing.T) {
		p := runPod(t)
		config := containerConfig(forever)
		id := create(t, p, config)
		wantEqual(t, "id", create(t, p, config), id)
	})
	t.Run("an image that is not local", func(t *testing.T) {
		config := containerConfig("true")
		config.Image.Image = "registry.test/test/absent:1"
		_, err := tryCreate(t, runPod(t), config)
		wantError(t, err, codes.NotFound, "registry.test/test/absent:1")
	})
	t.Run("an unknown pod", func(t *testing.T) {
		_, err := tryCreate(t, pod{absent, podConfig()}, containerConfig("true"))
		wantError(t, err, codes.NotFound, absent)
	})
	t.Run("a pod that is not ready", func(t *testing.T) {
		p := runPod(t)
		must(t, runtimeService.StopPodSandbox(within(t, time.Minute), p.id))
		_, err := tryCreate(t, p, containerConfig("true"))
		wantError(t, err, codes.FailedPrecondition, p.id)
	})
	t.Run("run_as_group without user", func(t *testing.T) {
		config := containerConfig("true")
		config.Linux.SecurityContext = &cri.LinuxContainerSecurityContext{RunAsGroup: &cri.Int64Value{Value: 1000}}
		_, err := tryCreate(t, runPod(t), config)
		wantError(t, err, codes.InvalidArgument, "run_as_group")
	})
	t.Run("a user that the image does not know", func(t *testing.T) {
		config := containerConfig("true")
		config.Linux.SecurityContext = &cri.LinuxContainerSecurityContext{RunAsUsername: "nobody-of-that-name"}
		_, err := tryCreate(t, runPod(t), config)
		if err == nil || !strings.Contains(err.Error(), "nobody-of-that-name") {
			t.Fatal(err)
		}
	})
	t.Run("nothing to run", func(t *testing.T) {
		config := containerConfig("")
		config.Image.Image, config.Command = "registry.test/test/nothing:1", nil
		_, err := tryCreate(t, runPod(t), config)
		wantError(t, err, codes.InvalidArgument)
	})
	t.Run("an unknown capability", func(t *testing.T) {
		config := containerConfig("true")
		config.Linux.SecurityContext = &cri.LinuxContainerSecurityContext{Capabilities: &cri.Capability{AddCapabilities: []string{"NO_SUCH"}}}
		_, err := tryCreate(t, runPod(t), config)
		wantError(t, err, codes.InvalidArgument, "NO_SUCH")
	})
	t.Run("a missing seccomp profile is named", func(t *testing.T) {
		config := containerConfig("true")
		config.Linux.SecurityContext = &cri.LinuxContainerSecurityContext{Seccomp: &cri.SecurityProfile{
			ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: "/nonexistent/profile.json"}}
		_, err := tryCreate(t, runPod(t), config)
		if err == nil || !strings.Contains(err.Error(), "/nonexistent/profile.json") {
			t.Fatal(err)
		}
	})
}

func TestCommandAndEnvironment(t *testing.T) {
	fromImage := func(edit func(*cri.ContainerConfig)) func(*cri.ContainerConfig) {
		return func(c *cri.ContainerConfig) {
			c.Image.Image, c.Command = "registry.test/test/user:1", nil
			edit(c)
		}
	}
	for name, c := range map[string]struct {
		command, args []string
		want          string
	}{
		"both from the image":              {nil, nil, "entrypoint cmd"},
		"args replace the image's command": {nil, []string{"args"}, "entrypoint args"},
		"a command drops both":             {[]string{"/bin/echo", "command"}, nil, "command"},
		"command and args":                 {[]string{"/bin/echo", "command"}, []string{"args"}, "command args"},
	} {
		t.Run(name, func(t *testing.T) {
			got := output(t, "", fromImage(func(config *cri.ContainerConfig) { config.Command, config.Args = c.command, c.args }))
			wantEqual(t, "output", got, c.want)
		})
	}
	t.Run("environment, bytes as they are", func(t *testing.T) {
		got := output(t, "", fromImage(func(c *cri.ContainerConfig) {
			c.Command = []string{"/bin/sh", "-c", "echo $FROM_IMAGE $OVERRIDDEN; printf %s \"$BYTES\" | od -An -tx1"}
			c.Envs = []*cri.KeyValue{{Key: "OVERRIDDEN", Value: []byte("config")}, {Key: "BYTES", Value: []byte{0xff, 0x0a, 0x80}}}
		}))
		wantEqual(t, "output", got, "yes config\n ff 0a 80")
	})
	t.Run("user, working directory and stop signal of the image", func(t *testing.T) {
		p := runPod(t)
		config := containerConfig("")
		fromImage(func(c *cri.ContainerConfig) { c.Command = []string{"/bin/sh", "-c", "id -un; id -g; pwd"} })(config)
		id := create(t, p, config)
		wantEqual(t, "stop signal", statusOf(t, id).GetStopSignal(), cri.Signal_SIGNAL_SIGUSR1)
		start(t, id)
		waitExit(t, id)
		wantEqual(t, "output", strings.Join(logOf(t, id), " "), "www-data 33 /made/by/runtime")
	})
}

func TestStartContainer(t *testing.T) {
	t.Run("only from CREATED", func(t *testing.T) {
		_, id := run(t, forever)
		wantError(t, runtimeService.StartContainer(within(t, time.Minute), id), codes.FailedPrecondition, id)
		must(t, runtimeService.StopContainer(within(t, time.Minute), id, 0))
		wantError(t, runtimeService.StartContainer(within(t, time.Minute), id), codes.FailedPrecondition, id)
	})
	t.Run("unknown is NotFound", func(t *testing.T) {
		wantError(t, runtimeService.StartContainer(within(t, time.Minute), absent), codes.NotFound, absent)
	})
	t.Run("the message names the path", func(t *testing.T) {
		config := containerConfig("")
		config.Command = []string{"/no/such/program"}
		id := create(t, runPod(t), config)
		err := runtimeService.StartContainer(within(t, time.Minute), id)
		if err == nil || !strings.Contains(err.Error(), "/no/such/program") || !strings.Contains(err.Error(), "No such file") {
			t.Fatal(err)
		}
		s := statusOf(t, id)
		wantEqual(t, "state", s.GetState(), cri.ContainerState_CONTAINER_EXITED)
		wantEqual(t, "exit code", s.GetExitCode(), 128)
	})
}

func TestStopContainer(t *testing.T) {
	t.Run("unknown and exited are OK", func(t *testing.T) {
		must(t, runtimeService.StopContainer(within(t, time.Minute), absent, 0))
		_, id := run(t, "true")
		waitExit(t, id)
		must(t, runtimeService.StopContainer(within(t, time.Minute), id, 10))
	})
	t.Run("the stop signal gets its time", func(t *testing.T) {
		_, id := run(t, "trap 'exit 42' TERM; echo ready; while :; do sleep 1000 & wait $!; done")
		eventually(t, "the trap is set", func() bool { return ready(t, id) })
		must(t, runtimeService.StopContainer(within(t, time.Minute), id, 30))
		wantEqual(t, "exit code", statusOf(t, id).GetExitCode(), 42)
	})
	t.Run("timeout 0 kills at once", func(t *testing.T) {
		_, id := run(t, "trap '' TERM; sleep 1000")
		must(t, runtimeService.StopContainer(within(t, time.Minute), id, 0))
		wantEqual(t, "exit code", statusOf(t, id).GetExitCode(), 137)
	})
	t.Run("a second call with a shorter timeout shortens the wait", func(t *testing.T) {
		_, id := run(t, "trap '' TERM; echo ready; while :; do sleep 1000; done")
		eventually(t, "the trap is set", func() bool { return ready(t, id) })
		first := make(chan error, 1)
		ctx := within(t, time.Minute)
		go func() { first <- runtimeService.StopContainer(ctx, id, 50) }()
		began := time.Now()
		must(t, runtimeService.StopContainer(within(t, time.Minute), id, 1))
		must(t, <-first)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func ready(t *testing.T, id string) bool {
	data, err := os.ReadFile(statusOf(t, id).GetLogPath())
	return err == nil && strings.Contains(string(data), "ready")
}

func TestRemoveContainer(t *testing.T) {
	t.Run("unknown is OK", func(t *testing.T) {
		must(t, runtimeService.RemoveContainer(within(t, time.Minute), absent))
	})
	t.Run("a running one by force", func(t *testing.T) {
		_, id := run(t, "trap '' TERM; sleep 1000")
		must(t, runtimeService.RemoveContainer(within(t, time.Minute), id))
		must(t, runtimeService.RemoveContainer(within(t, time.Minute), id))
		_, err := runtimeService.ContainerStatus(within(t, time.Minute), id, false)
		wantError(t, err, codes.NotFound, id)
	})
}

func TestContainerStatus(t *testing.T) {
	t.Run("unknown is NotFound", func(t *testing.T) {
		_, err := runtimeService.ContainerStatus(within(t, time.Minute), absent, false)
		wantError(t, err, codes.NotFound, absent)
	})
	for script, want := range map[string]struct {
		code   int32
		reason string
	}{"exit 0": {0, "Completed"}, "exit 3": {3, "Error"}, "exit 137": {137, "Error"}} {
		t.Run("reason and exit code of "+script, func(t *testing.T) {
			_, id := run(t, script)
			s := waitExit(t, id)
			wantEqual(t, "exit code", s.GetExitCode(), want.code)
			wantEqual(t, "reason", s.GetReason(), want.reason)
			if s.GetCreatedAt() > s.GetStartedAt() || s.GetStartedAt() > s.GetFinishedAt() {
				t.Errorf("created %d, started %d, finished %d", s.GetCreatedAt(), s.GetStartedAt(), s.GetFinishedAt())
			}
		})
	}
	t.Run("out of memory is OOMKilled", func(t *testing.T) {
		_, id := run(t, "dd if=/dev/zero of=/dev/null bs=200M count=1", func(c *cri.ContainerConfig) {
			c.Linux.Resources = &cri.LinuxContainerResources{MemoryLimitInBytes: 16 << 20, MemorySwapLimitInBytes: 16 << 20}
		})
		s := waitExit(t, id)
		wantEqual(t, "reason", s.GetReason(), "OOMKilled")
		wantEqual(t, "exit code", s.GetExitCode(), 137)
	})
	t.Run("says what was asked for", func(t *testing.T) {
		p := runPod(t)
		config := containerConfig(forever)
		config.Labels = map[string]string{"a": "b"}
		config.Annotations = map[string]string{"note": "line\nline", "empty": ""}
		host := t.TempDir()
		config.Mounts = []*cri.Mount{{HostPath: host, ContainerPath: "/data", Readonly: true}}
		id := create(t, p, config)
		s := statusOf(t, id)
		wantEqual(t, "metadata", s.GetMetadata().String(), config.Metadata.String())
		wantMap(t, "labels", s.GetLabels(), config.Labels)
		wantMap(t, "annotations", s.GetAnnotations(), config.Annotations)
		wantEqual(t, "log path", s.GetLogPath(), filepath.Join(p.config.LogDirectory, config.LogPath))
		wantEqual(t, "mounts", len(s.GetMounts()), 1)
		wantEqual(t, "host path", s.GetMounts()[0].GetHostPath(), host)
		wantEqual(t, "readonly", s.GetMounts()[0].GetReadonly(), true)
	})
	t.Run("user as really set", func(t *testing.T) {
		_, id := run(t, forever, func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext = &cri.LinuxContainerSecurityContext{RunAsUser: &cri.Int64Value{Value: 1000},
				RunAsGroup: &cri.Int64Value{Value: 2000}, SupplementalGroups: []int64{3000}}
		})
		user := statusOf(t, id).GetUser().GetLinux()
		wantEqual(t, "uid", user.GetUid(), 1000)
		wantEqual(t, "gid", user.GetGid(), 2000)
		wantEqual(t, "groups", strings.TrimSpace(exec(t, id, "id", "-G")), "2000 3000")
	})
}

func TestListContainers(t *testing.T) {
	p, id := run(t, forever, func(c *cri.ContainerConfig) { c.Labels = map[string]string{"case": "list-containers"} })
	_, other := run(t, "true")
	waitExit(t, other)
	state := func(s cri.ContainerState) *cri.ContainerStateValue { return &cri.ContainerStateValue{State: s} }
	for name, c := range map[string]struct {
		filter *cri.ContainerFilter
		want   int
	}{
		"id":                    {&cri.ContainerFilter{Id: id}, 1},
		"short id":              {&cri.ContainerFilter{Id: id[:13]}, 1},
		"pod":                   {&cri.ContainerFilter{PodSandboxId: p.id}, 1},
		"labels":                {&cri.ContainerFilter{LabelSelector: map[string]string{"case": "list-containers"}}, 1},
		"id and state":          {&cri.ContainerFilter{Id: id, State: state(cri.ContainerState_CONTAINER_RUNNING)}, 1},
		"id and wrong state":    {&cri.ContainerFilter{Id: id, State: state(cri.ContainerState_CONTAINER_EXITED)}, 0},
		"pod of another":        {&cri.ContainerFilter{Id: other, PodSandboxId: p.id}, 0},
		"nothing matches":       {&cri.ContainerFilter{Id: absent}, 0},
		"all labels must match": {&cri.ContainerFilter{LabelSelector: map[string]string{"case": "list-containers", "x": "y"}}, 0},
	} {
		t.Run("filter "+name, func(t *testing.T) {
			list, err := runtimeService.ListContainers(within(t, time.Minute), c.filter)
			must(t, err)
			wantEqual(t, "containers", len(list), c.want)
			if c.want == 1 {
				wantEqual(t, "id", list[0].GetId(), id)
				wantEqual(t, "pod", list[0].GetPodSandboxId(), p.id)
			}
		})
	}
}

func TestExecSync(t *testing.T) {
	_, id := run(t, forever)
	call := func(t *testing.T, timeout int64, command ...string) (*cri.ExecSyncResponse, error) {
		t.Helper()
		return runtimeStub.ExecSync(within(t, time.Minute), &cri.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: timeout})
	}
	t.Run("output and exit code", func(t *testing.T) {
		response, err := call(t, 10, "sh", "-c", "echo out; echo err >&2; exit 7")
		must(t, err)
		wantEqual(t, "stdout", string(response.GetStdout()), "out\n")
		wantEqual(t, "stderr", string(response.GetStderr()), "err\n")
		wantEqual(t, "exit code", response.GetExitCode(), 7)
	})
	t.Run("past the timeout: DeadlineExceeded, and nothing of it lives on", func(t *testing.T) {
		_, err := call(t, 1, "sh", "-c", "sleep 4321 & sleep 4321")
		wantError(t, err, codes.DeadlineExceeded)
		wantEqual(t, "left", strings.TrimSpace(exec(t, id, "sh", "-c", "ps | grep 'sleep 432[1]' || true")), "")
	})
	t.Run("a caller that leaves ends it too", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := runtimeStub.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sleep", "5432"}})
		wantError(t, err, codes.DeadlineExceeded)
		eventually(t, "sleep 5432 is gone", func() bool {
			return strings.TrimSpace(exec(t, id, "sh", "-c", "ps | grep 'sleep 543[2]' || true")) == ""
		})
	})
	t.Run("a grandchild that holds the pipe does not hold the call", func(t *testing.T) {
		began := time.Now()
		response, err := call(t, 30, "sh", "-c", "sleep 1000 & echo done")
		must(t, err)
		wantEqual(t, "stdout", string(response.GetStdout()), "done\n")
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("took %v", took)
		}
	})
	t.Run("more than 16 MiB is cut, not an error", func(t *testing.T) {
		response, err := call(t, 50, "sh", "-c", "head -c 20000000 /dev/zero; exit 3")
		must(t, err)
		wantEqual(t, "exit code", response.GetExitCode(), 3)
		if size := len(response.GetStdout()); size > 16<<20 || size < 15<<20 {
			t.Errorf("%d bytes", size)
		}
	})
	t.Run("no such program", func(t *testing.T) {
		_, err := call(t, 10, "/no/such/program")
		if err == nil || !strings.Contains(err.Error(), "/no/such/program") {
			t.Fatal(err)
		}
	})
	t.Run("no command", func(t *testing.T) {
		_, err := call(t, 10)
		wantError(t, err, codes.InvalidArgument)
	})
	t.Run("unknown is NotFound, not running is FailedPrecondition", func(t *testing.T) {
		request := &cri.ExecSyncRequest{ContainerId: absent, Cmd: []string{"true"}, Timeout: 5}
		_, err := runtimeStub.ExecSync(within(t, time.Minute), request)
		wantError(t, err, codes.NotFound)
		request.ContainerId = create(t, runPod(t), containerConfig("true"))
		_, err = runtimeStub.ExecSync(within(t, time.Minute), request)
		wantError(t, err, codes.FailedPrecondition)
	})
}

func TestReopenContainerLog(t *testing.T) {
	t.Run("loses and tears no line", func(t *testing.T) {
		_, id := run(t, "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done")
		path := statusOf(t, id).GetLogPath()
		renamed := 0
		for ; renamed < 3; renamed++ {
			must(t, os.Rename(path, path+strings.Repeat(".old", renamed+1)))
			if err := runtimeService.ReopenContainerLog(within(t, time.Minute), id); err != nil {
				break // it ended meanwhile
			}
		}
		waitExit(t, id)
		total := 0
		files, err := filepath.Glob(path + "*")
		must(t, err)
		for _, file := range files {
			data, err := os.ReadFile(file)
			must(t, err)
			total += strings.Count(string(data), "\n")
		}
		wantEqual(t, "lines", total, 20000)
	})
	t.Run("not running: an error and no file", func(t *testing.T) {
		_, id := run(t, "true")
		path := waitExit(t, id).GetLogPath()
		must(t, os.Remove(path))
		err := runtimeService.ReopenContainerLog(within(t, time.Minute), id)
		_, missing := os.Stat(path)
		if (err == nil) == (missing != nil) {
			t.Errorf("error %v, file %v", err, missing)
		}
	})
	t.Run("unknown is NotFound", func(t *testing.T) {
		wantError(t, runtimeService.ReopenContainerLog(within(t, time.Minute), absent), codes.NotFound)
	})
}

func TestNamespaces(t *testing.T) {
	t.Run("a shared PID namespace has an init that is none of the containers", func(t *testing.T) {
		p := runPod(t, func(c *cri.PodSandboxConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Pid = cri.NamespaceMode_POD
		})
		var seen []string
		for range 2 {
			config := containerConfig("sleep 1234")
			config.Linux.SecurityContext = &cri.LinuxContainerSecurityContext{NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_POD}}
			id := create(t, p, config)
			start(t, id)
			seen = append(seen, id)
		}
		if list := exec(t, seen[0], "ps"); strings.Count(list, "sleep 1234") < 2 {
			t.Errorf("not both containers in %s", list)
		}
		if first := exec(t, seen[0], "cat", "/proc/1/cmdline"); strings.Contains(first, "sleep") {
			t.Errorf("process 1 is %q", first)
		}
	})
	t.Run("CONTAINER: the workload is process 1", func(t *testing.T) {
		_, id := run(t, "exec sleep 1234")
		if first := exec(t, id, "cat", "/proc/1/cmdline"); !strings.Contains(first, "sleep") {
			t.Errorf("process 1 is %q", first)
		}
	})
	t.Run("a user namespace maps root", func(t *testing.T) {
		mapping := []*cri.IDMapping{{HostId: 500000, ContainerId: 0, Length: 65536}}
		userns := &cri.UserNamespace{Mode: cri.NamespaceMode_POD, Uids: mapping, Gids: mapping}
		p := runPod(t, func(c *cri.PodSandboxConfig) { c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = userns })
		config := containerConfig(forever)
		config.Linux.SecurityContext = &cri.LinuxContainerSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER, UsernsOptions: userns}}
		id := create(t, p, config)
		start(t, id)
		wantEqual(t, "uid_map", strings.Join(strings.Fields(exec(t, id, "cat", "/proc/self/uid_map")), " "), "0 500000 65536")
		wantEqual(t, "owner of /bin/sh", strings.TrimSpace(exec(t, id, "stat", "-c", "%u", "/bin/sh")), "0")
		exec(t, id, "touch", "/written")
	})
}

func TestResources(t *testing.T) {
	limits := &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: 64 << 20}
	withLimits := func(c *cri.ContainerConfig) { c.Linux.Resources = limits }
	update := func(t *testing.T, id string, r *cri.LinuxContainerResources) error {
		t.Helper()
		return runtimeService.UpdateContainerResources(within(t, time.Minute), id, &cri.ContainerResources{Linux: r})
	}
	t.Run("status shows what is in force, zero leaves it", func(t *testing.T) {
		_, id := run(t, forever, withLimits)
		must(t, update(t, id, &cri.LinuxContainerResources{MemoryLimitInBytes: 128 << 20}))
		got := statusOf(t, id).GetResources().GetLinux()
		wantEqual(t, "memory", got.GetMemoryLimitInBytes(), 128<<20)
		wantEqual(t, "quota", got.GetCpuQuota(), 50000)
		wantEqual(t, "shares", got.GetCpuShares(), 512)
	})
	t.Run("before the start too", func(t *testing.T) {
		config := containerConfig(forever)
		withLimits(config)
		id := create(t, runPod(t), config)
		must(t, update(t, id, &cri.LinuxContainerResources{CpuShares: 256}))
		start(t, id)
		wantEqual(t, "shares", statusOf(t, id).GetResources().GetLinux().GetCpuShares(), 256)
	})
	t.Run("all or nothing", func(t *testing.T) {
		_, id := run(t, forever, withLimits)
		if err := update(t, id, &cri.LinuxContainerResources{CpuShares: 256, CpusetCpus: "4000"}); err == nil {
			t.Fatal("CPU 4000 was taken")
		}
		wantEqual(t, "shares", statusOf(t, id).GetResources().GetLinux().GetCpuShares(), 512)
	})
	t.Run("unknown is NotFound", func(t *testing.T) {
		wantError(t, update(t, absent, limits), codes.NotFound)
	})
}

func TestStats(t *testing.T) {
	p, id := run(t, forever)
	t.Run("of one container", func(t *testing.T) {
		s, err := runtimeService.ContainerStats(within(t, time.Minute), id)
		must(t, err)
		wantEqual(t, "id", s.GetAttributes().GetId(), id)
		if s.GetCpu().GetUsageCoreNanoSeconds().GetValue() == 0 || s.GetMemory().GetWorkingSetBytes().GetValue() == 0 || s.GetCpu().GetTimestamp() == 0 {
			t.Errorf("%v", s)
		}
		if s.GetWritableLayer().GetFsId().GetMountpoint() == "" {
			t.Errorf("no writable layer in %v", s)
		}
	})
	t.Run("unknown is NotFound", func(t *testing.T) {
		_, err := runtimeService.ContainerStats(within(t, time.Minute), absent)
		wantError(t, err, codes.NotFound)
		_, err = runtimeService.PodSandboxStats(within(t, time.Minute), absent)
		wantError(t, err, codes.NotFound)
	})
	t.Run("the list has running containers only", func(t *testing.T) {
		created := create(t, p, containerConfig("true"))
		list, err := runtimeService.ListContainerStats(within(t, time.Minute), &cri.ContainerStatsFilter{PodSandboxId: p.id})
		must(t, err)
		for _, s := range list {
			if s.GetAttributes().GetId() == created {
				t.Error("a container that was never started is listed")
			}
		}
		wantEqual(t, "containers", len(list), 1)
	})
	t.Run("of a pod, with its network", func(t *testing.T) {
		s, err := runtimeService.PodSandboxStats(within(t, time.Minute), p.id)
		must(t, err)
		wantEqual(t, "id", s.GetAttributes().GetId(), p.id)
		wantEqual(t, "interface", s.GetLinux().GetNetwork().GetDefaultInterface().GetName(), "eth0")
		if s.GetLinux().GetProcess().GetProcessCount().GetValue() == 0 {
			t.Errorf("no process in %v", s)
		}
		list, err := runtimeService.ListPodSandboxStats(within(t, time.Minute), &cri.PodSandboxStatsFilter{Id: p.id})
		must(t, err)
		wantEqual(t, "pods", len(list), 1)
	})
}
