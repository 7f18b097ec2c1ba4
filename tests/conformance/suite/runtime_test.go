package suite

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestVersion(t *testing.T) {
	t.Run("all four fields are set", func(t *testing.T) {
		v, err := runtimeStub.Version(within(t, time.Minute), &cri.VersionRequest{Version: "v1"})
		must(t, err)
		for what, text := range map[string]string{"version": v.GetVersion(), "runtime_name": v.GetRuntimeName(),
			"runtime_version": v.GetRuntimeVersion(), "runtime_api_version": v.GetRuntimeApiVersion()} {
			if text == "" {
				t.Errorf("%s is empty", what)
			}
		}
		wantEqual(t, "runtime_api_version", v.GetRuntimeApiVersion(), "v1")
	})
}

func TestStatus(t *testing.T) {
	response, err := runtimeService.Status(within(t, time.Minute), false)
	must(t, err)
	t.Run("runtime and network are ready", func(t *testing.T) {
		ready := map[string]bool{}
		for _, condition := range response.GetStatus().GetConditions() {
			ready[condition.GetType()] = condition.GetStatus()
		}
		for _, name := range []string{cri.RuntimeReady, cri.NetworkReady} {
			if !ready[name] {
				t.Errorf("%s is not true: %v", name, response.GetStatus().GetConditions())
			}
		}
	})
	t.Run("the default handler is listed with the empty name too", func(t *testing.T) {
		names := map[string]*cri.RuntimeHandlerFeatures{}
		for _, handler := range response.GetRuntimeHandlers() {
			names[handler.GetName()] = handler.GetFeatures()
		}
		if _, listed := names[""]; !listed || len(names) < 2 {
			t.Fatalf("handlers %v", response.GetRuntimeHandlers())
		}
	})
	t.Run("the supplemental groups policy is advertised", func(t *testing.T) {
		if !response.GetFeatures().GetSupplementalGroupsPolicy() {
			t.Errorf("features %v", response.GetFeatures())
		}
	})
	t.Run("info only when verbose", func(t *testing.T) {
		if len(response.GetInfo()) != 0 {
			t.Errorf("info without verbose: %v", response.GetInfo())
		}
		verbose, err := runtimeService.Status(within(t, time.Minute), true)
		must(t, err)
		if len(verbose.GetInfo()) == 0 {
			t.Error("no info with verbose")
		}
	})
}

func TestRuntimeConfig(t *testing.T) {
	t.Run("the cgroup driver stays the same", func(t *testing.T) {
		first, err := runtimeService.RuntimeConfig(within(t, time.Minute))
		must(t, err)
		second, err := runtimeService.RuntimeConfig(within(t, time.Minute))
		must(t, err)
		if first.GetLinux() == nil || first.GetLinux().GetCgroupDriver() != second.GetLinux().GetCgroupDriver() {
			t.Errorf("first %v, then %v", first, second)
		}
	})
}

func TestUpdateRuntimeConfig(t *testing.T) {
	t.Run("a pod CIDR is taken", func(t *testing.T) {
		must(t, runtimeService.UpdateRuntimeConfig(within(t, time.Minute),
			&cri.RuntimeConfig{NetworkConfig: &cri.NetworkConfig{PodCidr: "10.88.0.0/16"}}))
	})
}

// Unimplemented is what makes a caller fall back; other codes would make it retry for ever.
func TestStreamingLists(t *testing.T) {
	t.Run("unimplemented or the whole list", func(t *testing.T) {
		stream, err := runtimeStub.StreamContainers(within(t, time.Minute), &cri.StreamContainersRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		if err != nil && err.Error() != "EOF" {
			wantError(t, err, codes.Unimplemented)
		}
	})
}
