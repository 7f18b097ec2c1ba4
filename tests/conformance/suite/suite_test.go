// Package suite is Berth's black-box suite: it knows a CRI socket and CRI's rules, nothing of Berth.
// One case a rule of the CRI text (api.proto) and of what the kubelet relies on. tests/conformance/run
// starts the node that it needs: registry, CNI configuration, daemon.
package suite

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	internalapi "k8s.io/cri-api/pkg/apis"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	remote "k8s.io/cri-client/pkg"
	"k8s.io/klog/v2"
)

const (
	busybox = "registry.test/test/busybox:1"
	absent  = "0000000000000000000000000000000000000000000000000000000000000000"
)

// The node. The kubelet's own client is used wherever it shows all that a case looks at; the bare
// stubs serve requests that it would not send and fields that it hides.
var (
	runtimeService internalapi.RuntimeService
	imageService   internalapi.ImageManagerService
	runtimeStub    cri.RuntimeServiceClient
	imageStub      cri.ImageServiceClient
	scratch        string // a directory of this run on the host
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		socket := os.Getenv("BERTH_CRI_SOCKET")
		scratch = os.Getenv("BERTH_TEST_DIR")
		if socket == "" || scratch == "" {
			fmt.Fprintln(os.Stderr, "BERTH_CRI_SOCKET and BERTH_TEST_DIR are not set: use tests/conformance/run")
			return 2
		}
		if err := connect("unix://" + socket); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		// The client logs each error that it also returns.
		klog.SetLogger(klog.Logger{})
		return m.Run()
	}())
}

func connect(endpoint string) error {
	ctx := context.Background()
	var err error
	if runtimeService, err = remote.NewRemoteRuntimeService(ctx, endpoint, 2*time.Minute, nil, false); err != nil {
		return err
	}
	if imageService, err = remote.NewRemoteImageService(ctx, endpoint, 2*time.Minute, nil, false); err != nil {
		return err
	}
	connection, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		return err
	}
	runtimeStub, imageStub = cri.NewRuntimeServiceClient(connection), cri.NewImageServiceClient(connection)
	return nil
}

// within is the context of one case; every call has a deadline.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError holds an error against a code and words of its message.
func wantError(t *testing.T, err error, code codes.Code, words ...string) {
	t.Helper()
	if got := status.Code(err); got != code {
		t.Fatalf("code %v, want %v: %v", got, code, err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("no %q in: %v", word, err)
		}
	}
}

func wantEqual[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// eventually polls: CRI offers no event for what it waits for.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !met() {
		if time.Now().After(deadline) {
			t.Fatalf("not in 30 s: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

var serial atomic.Int64

func unique(prefix string) string { return fmt.Sprintf("%s-%d", prefix, serial.Add(1)) }

// podConfig: network POD, pid CONTAINER, ipc POD, a log directory.
func podConfig() *cri.PodSandboxConfig {
	name := unique("pod")
	return &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Namespace: "suite", Uid: "uid-" + name, Attempt: 1},
		Hostname:     name,
		LogDirectory: scratch + "/logs/" + name,
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER}}},
	}
}

type pod struct {
	id     string
	config *cri.PodSandboxConfig
}

// runPod starts a pod that is removed when the case ends.
func runPod(t *testing.T, edits ...func(*cri.PodSandboxConfig)) pod {
	t.Helper()
	config := podConfig()
	for _, edit := range edits {
		edit(config)
	}
	id, err := runtimeService.RunPodSandbox(within(t, time.Minute), config, "")
	must(t, err)
	removeLater(t, id)
	return pod{id, config}
}

func removeLater(t *testing.T, podID string) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := runtimeService.StopPodSandbox(ctx, podID); err != nil {
			t.Errorf("StopPodSandbox afterwards: %v", err)
		}
		if err := runtimeService.RemovePodSandbox(ctx, podID); err != nil {
			t.Errorf("RemovePodSandbox afterwards: %v", err)
		}
	})
}

// containerConfig runs a shell script in busybox; log main.log.
func containerConfig(script string) *cri.ContainerConfig {
	name := unique("container")
	return &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name, Attempt: 1},
		Image:    &cri.ImageSpec{Image: busybox},
		Command:  []string{"/bin/sh", "-c", script},
		LogPath:  name + ".log",
		Linux:    &cri.LinuxContainerConfig{},
	}
}

func pull(t *testing.T, image string) string {
	t.Helper()
	id, err := imageService.PullImage(within(t, time.Minute), &cri.ImageSpec{Image: image}, nil, nil)
	must(t, err)
	return id
}

// ensureImage pulls what is not there yet.
func ensureImage(t *testing.T, image string) {
	t.Helper()
	response, err := imageService.ImageStatus(within(t, time.Minute), &cri.ImageSpec{Image: image}, false)
	must(t, err)
	if response.GetImage() == nil {
		pull(t, image)
	}
}

func tryCreate(t *testing.T, p pod, config *cri.ContainerConfig) (string, error) {
	t.Helper()
	if config.GetImage().GetImage() != "" && !strings.Contains(config.GetImage().GetImage(), "absent") {
		ensureImage(t, config.Image.Image)
	}
	return runtimeService.CreateContainer(within(t, time.Minute), p.id, config, p.config)
}

func create(t *testing.T, p pod, config *cri.ContainerConfig) string {
	t.Helper()
	id, err := tryCreate(t, p, config)
	must(t, err)
	return id
}

func start(t *testing.T, id string) {
	t.Helper()
	must(t, runtimeService.StartContainer(within(t, time.Minute), id))
}

// run makes a container of its own pod that runs a script.
func run(t *testing.T, script string, edits ...func(*cri.ContainerConfig)) (pod, string) {
	t.Helper()
	p := runPod(t)
	config := containerConfig(script)
	for _, edit := range edits {
		edit(config)
	}
	id := create(t, p, config)
	start(t, id)
	return p, id
}

const forever = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"

func statusOf(t *testing.T, id string) *cri.ContainerStatus {
	t.Helper()
	response, err := runtimeService.ContainerStatus(within(t, time.Minute), id, false)
	must(t, err)
	return response.GetStatus()
}

func waitExit(t *testing.T, id string) *cri.ContainerStatus {
	t.Helper()
	eventually(t, "container "+id+" exits", func() bool {
		return statusOf(t, id).GetState() == cri.ContainerState_CONTAINER_EXITED
	})
	return statusOf(t, id)
}

// exec runs a command to its end and wants exit code 0.
func exec(t *testing.T, id string, command ...string) string {
	t.Helper()
	response, err := runtimeStub.ExecSync(within(t, time.Minute), &cri.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: 30})
	must(t, err)
	if response.GetExitCode() != 0 {
		t.Fatalf("%q ended with %d: %s%s", command, response.GetExitCode(), response.GetStdout(), response.GetStderr())
	}
	return string(response.GetStdout())
}

// output runs a script to its end in a pod of its own and gives the container's log without the
// prefix of each line.
func output(t *testing.T, script string, edits ...func(*cri.ContainerConfig)) string {
	t.Helper()
	_, id := run(t, script, edits...)
	waitExit(t, id)
	return strings.Join(logOf(t, id), "\n")
}

// logOf gives the messages of a CRI log.
func logOf(t *testing.T, id string) []string {
	t.Helper()
	data, err := os.ReadFile(statusOf(t, id).GetLogPath())
	must(t, err)
	var lines []string
	for _, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		fields := strings.SplitN(line, " ", 4)
		if len(fields) != 4 || fields[2] != "F" && fields[2] != "P" {
			t.Fatalf("not a line of a CRI log: %q", line)
		}
		if _, err := time.Parse(time.RFC3339Nano, fields[0]); err != nil {
			t.Errorf("time of %q: %v", line, err)
		}
		lines = append(lines, fields[3])
	}
	return lines
}
