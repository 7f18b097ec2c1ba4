package suite

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func podStatus(t *testing.T, id string) *cri.PodSandboxStatus {
	t.Helper()
	response, err := runtimeService.PodSandboxStatus(within(t, time.Minute), id, false)
	must(t, err)
	return response.GetStatus()
}

func hostNetwork(c *cri.PodSandboxConfig) {
	c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_NODE
	c.Hostname = ""
}

func TestRunPodSandbox(t *testing.T) {
	t.Run("is READY when it returns", func(t *testing.T) {
		p := runPod(t)
		wantEqual(t, "state", podStatus(t, p.id).GetState(), cri.PodSandboxState_SANDBOX_READY)
	})
	t.Run("a retry of the same identity gets the same pod", func(t *testing.T) {
		p := runPod(t)
		again, err := runtimeService.RunPodSandbox(within(t, time.Minute), p.config, "")
		must(t, err)
		wantEqual(t, "id", again, p.id)
	})
	t.Run("a retry joins the call in flight", func(t *testing.T) {
		config := podConfig()
		ids := make([]string, 4)
		errs := make([]error, len(ids))
		ctx := within(t, time.Minute)
		var calls sync.WaitGroup
		for i := range ids {
			calls.Go(func() { ids[i], errs[i] = runtimeService.RunPodSandbox(ctx, config, "") })
		}
		calls.Wait()
		for i := range ids {
			must(t, errs[i])
			wantEqual(t, "id", ids[i], ids[0])
		}
		removeLater(t, ids[0])
	})
	t.Run("a caller that gave up can retry", func(t *testing.T) {
		config := podConfig()
		short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_, _ = runtimeStub.RunPodSandbox(short, &cri.RunPodSandboxRequest{Config: config})
		id, err := runtimeService.RunPodSandbox(within(t, time.Minute), config, "")
		must(t, err)
		removeLater(t, id)
		pods, err := runtimeService.ListPodSandbox(within(t, time.Minute), &cri.PodSandboxFilter{LabelSelector: nil, Id: id})
		must(t, err)
		wantEqual(t, "pods", len(pods), 1)
	})
	t.Run("another attempt is another pod", func(t *testing.T) {
		p := runPod(t)
		second := runPod(t, func(c *cri.PodSandboxConfig) {
			c.Metadata = &cri.PodSandboxMetadata{Name: p.config.Metadata.Name, Namespace: "suite", Uid: p.config.Metadata.Uid, Attempt: 2}
		})
		if second.id == p.id {
			t.Error("the same id")
		}
	})
	t.Run("an unknown runtime handler is rejected", func(t *testing.T) {
		_, err := runtimeStub.RunPodSandbox(within(t, time.Minute), &cri.RunPodSandboxRequest{Config: podConfig(), RuntimeHandler: "no-such-handler"})
		if err == nil || !strings.Contains(err.Error(), "no-such-handler") {
			t.Fatalf("%v", err)
		}
	})
	t.Run("no metadata", func(t *testing.T) {
		config := podConfig()
		config.Metadata = nil
		_, err := runtimeStub.RunPodSandbox(within(t, time.Minute), &cri.RunPodSandboxRequest{Config: config})
		wantError(t, err, codes.InvalidArgument, "metadata")
	})
	t.Run("run_as_group without user", func(t *testing.T) {
		config := podConfig()
		config.Linux.SecurityContext.RunAsGroup = &cri.Int64Value{Value: 1000}
		_, err := runtimeStub.RunPodSandbox(within(t, time.Minute), &cri.RunPodSandboxRequest{Config: config})
		wantError(t, err, codes.InvalidArgument, "run_as_group")
	})
	for name, options := range map[string]*cri.UserNamespace{
		"two mappings": {Mode: cri.NamespaceMode_POD,
			Uids: []*cri.IDMapping{{HostId: 100000, ContainerId: 0, Length: 1000}, {HostId: 200000, ContainerId: 1000, Length: 1000}},
			Gids: []*cri.IDMapping{{HostId: 100000, ContainerId: 0, Length: 1000}, {HostId: 200000, ContainerId: 1000, Length: 1000}}},
		"id 0 not mapped": {Mode: cri.NamespaceMode_POD, Uids: []*cri.IDMapping{{HostId: 100000, ContainerId: 1, Length: 1000}},
			Gids: []*cri.IDMapping{{HostId: 100000, ContainerId: 1, Length: 1000}}},
		"mode CONTAINER": {Mode: cri.NamespaceMode_CONTAINER},
		"mode TARGET":    {Mode: cri.NamespaceMode_TARGET},
	} {
		t.Run("a user namespace with "+name+" is rejected", func(t *testing.T) {
			config := podConfig()
			config.Linux.SecurityContext.NamespaceOptions.UsernsOptions = options
			_, err := runtimeStub.RunPodSandbox(within(t, time.Minute), &cri.RunPodSandboxRequest{Config: config})
			wantError(t, err, codes.InvalidArgument)
		})
	}
}

func TestStopPodSandbox(t *testing.T) {
	t.Run("unknown is OK", func(t *testing.T) {
		must(t, runtimeService.StopPodSandbox(within(t, time.Minute), absent))
	})
	t.Run("ends the containers and may be repeated", func(t *testing.T) {
		p, id := run(t, forever)
		for range 3 {
			must(t, runtimeService.StopPodSandbox(within(t, time.Minute), p.id))
		}
		wantEqual(t, "pod", podStatus(t, p.id).GetState(), cri.PodSandboxState_SANDBOX_NOTREADY)
		wantEqual(t, "container", statusOf(t, id).GetState(), cri.ContainerState_CONTAINER_EXITED)
	})
	t.Run("a stopped identity does not become ready again by itself", func(t *testing.T) {
		p := runPod(t)
		must(t, runtimeService.StopPodSandbox(within(t, time.Minute), p.id))
		_, err := runtimeService.RunPodSandbox(within(t, time.Minute), p.config, "")
		if err == nil {
			t.Fatal("the identity of a stopped pod was given again")
		}
		wantError(t, err, codes.AlreadyExists)
	})
}

func TestRemovePodSandbox(t *testing.T) {
	t.Run("unknown is OK", func(t *testing.T) {
		must(t, runtimeService.RemovePodSandbox(within(t, time.Minute), absent))
	})
	t.Run("stops and removes by force", func(t *testing.T) {
		p, id := run(t, forever)
		must(t, runtimeService.RemovePodSandbox(within(t, time.Minute), p.id))
		_, err := runtimeService.ContainerStatus(within(t, time.Minute), id, false)
		wantError(t, err, codes.NotFound, id)
		_, err = runtimeService.PodSandboxStatus(within(t, time.Minute), p.id, false)
		wantError(t, err, codes.NotFound, p.id)
	})
}

func TestPodSandboxStatus(t *testing.T) {
	t.Run("unknown is NotFound", func(t *testing.T) {
		_, err := runtimeService.PodSandboxStatus(within(t, time.Minute), absent, false)
		wantError(t, err, codes.NotFound, absent)
	})
	t.Run("says what was asked for", func(t *testing.T) {
		before := time.Now()
		p := runPod(t, func(c *cri.PodSandboxConfig) {
			c.Labels = map[string]string{"a/b": "c", "empty": ""}
			c.Annotations = map[string]string{"note": "line\nline \u00e9 \"quoted\"", "empty": ""}
		})
		s := podStatus(t, p.id)
		wantEqual(t, "id", s.GetId(), p.id)
		wantEqual(t, "metadata", s.GetMetadata().String(), p.config.Metadata.String())
		wantMap(t, "labels", s.GetLabels(), p.config.Labels)
		wantMap(t, "annotations", s.GetAnnotations(), p.config.Annotations)
		wantEqual(t, "pid mode", s.GetLinux().GetNamespaces().GetOptions().GetPid(), cri.NamespaceMode_CONTAINER)
		created := time.Unix(0, s.GetCreatedAt())
		if created.Before(before.Add(-time.Second)) || created.After(time.Now().Add(time.Second)) {
			t.Errorf("created_at %v", created)
		}
	})
	t.Run("has an address, of a host network none", func(t *testing.T) {
		address := podStatus(t, runPod(t).id).GetNetwork().GetIp()
		if net.ParseIP(address) == nil {
			t.Errorf("address %q", address)
		}
		wantEqual(t, "address", podStatus(t, runPod(t, hostNetwork).id).GetNetwork().GetIp(), "")
	})
	t.Run("info only when verbose", func(t *testing.T) {
		p := runPod(t)
		for _, verbose := range []bool{false, true} {
			response, err := runtimeService.PodSandboxStatus(within(t, time.Minute), p.id, verbose)
			must(t, err)
			wantEqual(t, "has info", len(response.GetInfo()) > 0, verbose)
		}
	})
}

func wantMap(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	wantEqual(t, "number of "+what, len(got), len(want))
	for key, value := range want {
		if actual, found := got[key]; !found || actual != value {
			t.Errorf("%s[%s] is %q, want %q", what, key, actual, value)
		}
	}
}

func TestListPodSandbox(t *testing.T) {
	label := unique("list")
	labelled := func(c *cri.PodSandboxConfig) {
		c.Labels = map[string]string{"case": label, "name": c.Metadata.Name}
		c.Annotations = map[string]string{"note": "kept"}
	}
	ready, stopped := runPod(t, labelled), runPod(t, labelled)
	must(t, runtimeService.StopPodSandbox(within(t, time.Minute), stopped.id))
	state := func(s cri.PodSandboxState) *cri.PodSandboxStateValue { return &cri.PodSandboxStateValue{State: s} }
	mine := map[string]string{"case": label}

	for name, c := range map[string]struct {
		filter *cri.PodSandboxFilter
		want   []string
	}{
		"labels":                {&cri.PodSandboxFilter{LabelSelector: mine}, []string{ready.id, stopped.id}},
		"state ready":           {&cri.PodSandboxFilter{LabelSelector: mine, State: state(cri.PodSandboxState_SANDBOX_READY)}, []string{ready.id}},
		"state not ready":       {&cri.PodSandboxFilter{LabelSelector: mine, State: state(cri.PodSandboxState_SANDBOX_NOTREADY)}, []string{stopped.id}},
		"id":                    {&cri.PodSandboxFilter{Id: ready.id}, []string{ready.id}},
		"short id":              {&cri.PodSandboxFilter{Id: ready.id[:13]}, []string{ready.id}},
		"id and wrong state":    {&cri.PodSandboxFilter{Id: ready.id, State: state(cri.PodSandboxState_SANDBOX_NOTREADY)}, nil},
		"nothing matches":       {&cri.PodSandboxFilter{Id: absent}, nil},
		"all labels must match": {&cri.PodSandboxFilter{LabelSelector: map[string]string{"case": label, "name": "other"}}, nil},
	} {
		t.Run("filter "+name, func(t *testing.T) {
			pods, err := runtimeService.ListPodSandbox(within(t, time.Minute), c.filter)
			must(t, err)
			found := map[string]bool{}
			for _, p := range pods {
				found[p.GetId()] = true
				wantEqual(t, "annotation", p.GetAnnotations()["note"], "kept")
			}
			wantEqual(t, "number of pods", len(pods), len(c.want))
			for _, id := range c.want {
				if !found[id] {
					t.Errorf("%s is missing", id)
				}
			}
		})
	}
}

func TestPodNetwork(t *testing.T) {
	t.Run("hostname and resolv.conf", func(t *testing.T) {
		p := runPod(t, func(c *cri.PodSandboxConfig) {
			c.Hostname = "named"
			c.DnsConfig = &cri.DNSConfig{Servers: []string{"10.10.10.10"}, Searches: []string{"a.example", "b.example"}, Options: []string{"ndots:8"}}
		})
		id := create(t, p, containerConfig(forever))
		start(t, id)
		wantEqual(t, "hostname", exec(t, id, "hostname"), "named\n")
		wantEqual(t, "/etc/hostname", exec(t, id, "cat", "/etc/hostname"), "named\n")
		resolv := exec(t, id, "cat", "/etc/resolv.conf")
		for _, line := range []string{"nameserver 10.10.10.10", "search a.example b.example", "options ndots:8"} {
			if !strings.Contains(resolv, line+"\n") {
				t.Errorf("no %q in %q", line, resolv)
			}
		}
	})
	t.Run("containers of a pod share the address that the status names", func(t *testing.T) {
		p := runPod(t)
		address := podStatus(t, p.id).GetNetwork().GetIp()
		for range 2 {
			id := create(t, p, containerConfig(forever))
			start(t, id)
			if links := exec(t, id, "ip", "addr"); !strings.Contains(links, address+"/") || !strings.Contains(links, "127.0.0.1/8") {
				t.Errorf("no %s or no loopback in %s", address, links)
			}
		}
	})
	t.Run("the node reaches a pod, and a host port", func(t *testing.T) {
		p := runPod(t, func(c *cri.PodSandboxConfig) {
			c.PortMappings = []*cri.PortMapping{{Protocol: cri.Protocol_TCP, ContainerPort: 8000, HostPort: 18000}}
		})
		id := create(t, p, containerConfig("mkdir /www && echo served > /www/index.html && exec httpd -f -p 8000 -h /www"))
		start(t, id)
		for _, address := range []string{podStatus(t, p.id).GetNetwork().GetIp() + ":8000", "127.0.0.1:18000"} {
			eventually(t, address+" answers", func() bool { return strings.Contains(fetch(address), "served") })
		}
		must(t, runtimeService.StopPodSandbox(within(t, time.Minute), p.id))
		if got := fetch("127.0.0.1:18000"); got != "" {
			t.Errorf("the host port of a stopped pod answers %q", got)
		}
	})
	t.Run("host port 0 is none", func(t *testing.T) {
		runPod(t, func(c *cri.PodSandboxConfig) { c.PortMappings = []*cri.PortMapping{{ContainerPort: 80}} })
	})
	t.Run("a sysctl of the pod is not the node's", func(t *testing.T) {
		p := runPod(t, func(c *cri.PodSandboxConfig) {
			c.Linux.Sysctls = map[string]string{"net.ipv4.ip_local_port_range": "20000 20999", "kernel.shm_rmid_forced": "1"}
		})
		id := create(t, p, containerConfig(forever))
		start(t, id)
		wantEqual(t, "range", strings.Join(strings.Fields(exec(t, id, "cat", "/proc/sys/net/ipv4/ip_local_port_range")), " "), "20000 20999")
		wantEqual(t, "shm_rmid_forced", exec(t, id, "cat", "/proc/sys/kernel/shm_rmid_forced"), "1\n")
		host, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
		must(t, err)
		if strings.HasPrefix(string(host), "20000") {
			t.Error("the node's range was changed")
		}
	})
	t.Run("a host network pod sees the node's links", func(t *testing.T) {
		p := runPod(t, hostNetwork)
		id := create(t, p, containerConfig(forever))
		start(t, id)
		self, err := os.Readlink("/proc/self/ns/net")
		must(t, err)
		wantEqual(t, "network namespace", strings.TrimSpace(exec(t, id, "readlink", "/proc/self/ns/net")), self)
	})
	t.Run("a net sysctl with the host network is refused", func(t *testing.T) {
		config := podConfig()
		hostNetwork(config)
		config.Linux.Sysctls = map[string]string{"net.ipv4.ip_forward": "1"}
		_, err := runtimeStub.RunPodSandbox(within(t, time.Minute), &cri.RunPodSandboxRequest{Config: config})
		wantError(t, err, codes.InvalidArgument, "net.ipv4.ip_forward")
	})
}

// fetch reads one page, "" when nobody answers.
func fetch(address string) string {
	connection, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return ""
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return ""
	}
	if _, err := connection.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return ""
	}
	page := make([]byte, 4096)
	var text strings.Builder
	for {
		n, err := connection.Read(page)
		text.Write(page[:n])
		if err != nil {
			return text.String()
		}
	}
}
