package suite

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func imageStatus(t *testing.T, reference string) *cri.Image {
	t.Helper()
	response, err := imageService.ImageStatus(within(t, time.Minute), &cri.ImageSpec{Image: reference}, false)
	must(t, err)
	return response.GetImage()
}

// digestOf is the image's first repo digest.
func digestOf(t *testing.T, reference string) string {
	t.Helper()
	digests := imageStatus(t, reference).GetRepoDigests()
	if len(digests) == 0 {
		t.Fatalf("%s has no repo digest", reference)
	}
	return digests[0]
}

func removeImage(t *testing.T, reference string) {
	t.Helper()
	must(t, imageService.RemoveImage(within(t, time.Minute), &cri.ImageSpec{Image: reference}))
}

func TestPullImage(t *testing.T) {
	for _, name := range []string{"busybox", "zstd", "plain", "docker", "docker-list"} {
		t.Run("what the registry has as "+name, func(t *testing.T) {
			reference := "registry.test/test/" + name + ":1"
			id := pull(t, reference)
			i := imageStatus(t, reference)
			wantEqual(t, "id", i.GetId(), id)
			if !slices.Contains(i.GetRepoTags(), reference) || len(i.GetRepoDigests()) == 0 || i.GetSize() == 0 {
				t.Errorf("%v", i)
			}
			wantEqual(t, "output", output(t, "echo it runs", func(c *cri.ContainerConfig) { c.Image.Image = reference }), "it runs")
		})
	}
	t.Run("by digest: no tag", func(t *testing.T) {
		pull(t, "registry.test/test/removable-4:1")
		digest := digestOf(t, "registry.test/test/removable-4:1")
		removeImage(t, digest)
		pull(t, digest)
		i := imageStatus(t, digest)
		wantEqual(t, "tags", len(i.GetRepoTags()), 0)
		wantEqual(t, "digests", strings.Join(i.GetRepoDigests(), " "), digest)
		removeImage(t, digest)
	})
	t.Run("many at once of the same image", func(t *testing.T) {
		const reference = "registry.test/test/removable-3:1"
		ids, errs := make([]string, 6), make([]error, 6)
		ctx := within(t, time.Minute)
		var calls sync.WaitGroup
		for i := range ids {
			calls.Go(func() { ids[i], errs[i] = imageService.PullImage(ctx, &cri.ImageSpec{Image: reference}, nil, nil) })
		}
		calls.Wait()
		for i := range ids {
			must(t, errs[i])
			wantEqual(t, "id", ids[i], ids[0])
		}
		removeImage(t, reference)
	})
	t.Run("a caller that leaves", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_, err := imageStub.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: "registry.test/test/removable-3:1"}})
		wantError(t, err, codes.DeadlineExceeded)
		pull(t, "registry.test/test/removable-3:1")
		removeImage(t, "registry.test/test/removable-3:1")
	})
	t.Run("a tag that the registry does not have", func(t *testing.T) {
		_, err := imageStub.PullImage(within(t, time.Minute), &cri.PullImageRequest{Image: &cri.ImageSpec{Image: "registry.test/test/busybox:none"}})
		wantError(t, err, codes.NotFound, "registry.test/test/busybox:none")
	})
	t.Run("nobody listens: Unknown, RegistryUnavailable first", func(t *testing.T) {
		_, err := imageStub.PullImage(within(t, time.Minute), &cri.PullImageRequest{Image: &cri.ImageSpec{Image: "127.0.0.1:1/test/busybox:1"}})
		wantError(t, err, codes.Unknown, "desc = RegistryUnavailable")
	})
	t.Run("no reference", func(t *testing.T) {
		for _, reference := range []string{"", "Not/A:Reference:", "registry.test/test/busybox@sha256:12"} {
			_, err := imageStub.PullImage(within(t, time.Minute), &cri.PullImageRequest{Image: &cri.ImageSpec{Image: reference}})
			wantError(t, err, codes.InvalidArgument)
		}
	})
	t.Run("an unknown runtime handler", func(t *testing.T) {
		_, err := imageStub.PullImage(within(t, time.Minute), &cri.PullImageRequest{Image: &cri.ImageSpec{Image: busybox, RuntimeHandler: "no-such-handler"}})
		if err == nil || !strings.Contains(err.Error(), "no-such-handler") {
			t.Fatal(err)
		}
	})
}

func TestImageStatus(t *testing.T) {
	t.Run("absent is OK with no image", func(t *testing.T) {
		for _, reference := range []string{"registry.test/test/absent:1", absent, "sha256:" + absent} {
			if i := imageStatus(t, reference); i != nil {
				t.Errorf("%s: %v", reference, i)
			}
		}
	})
	t.Run("by every reference", func(t *testing.T) {
		ensureImage(t, busybox)
		want := imageStatus(t, busybox)
		digest := digestOf(t, busybox)
		bare := strings.TrimPrefix(want.GetId(), "sha256:")
		for _, reference := range []string{want.GetId(), bare, bare[:12], digest, busybox + digest[strings.Index(digest, "@"):]} {
			wantEqual(t, "status of "+reference, imageStatus(t, reference).String(), want.String())
		}
	})
	t.Run("user of the configuration", func(t *testing.T) {
		ensureImage(t, "registry.test/test/user:1")
		i := imageStatus(t, "registry.test/test/user:1")
		wantEqual(t, "username", i.GetUsername(), "www-data")
		if i.GetUid() != nil {
			t.Errorf("uid %v", i.GetUid())
		}
		ensureImage(t, "registry.test/test/group:1")
		wantEqual(t, "uid", imageStatus(t, "registry.test/test/group:1").GetUid().GetValue(), 1000)
	})
}

func TestListImages(t *testing.T) {
	t.Run("one entry an image, with all tags", func(t *testing.T) {
		for _, tag := range []string{"1", "2", "3"} {
			pull(t, "registry.test/test/removable-1:"+tag)
		}
		id := imageStatus(t, "registry.test/test/removable-1:2").GetId()
		list, err := imageService.ListImages(within(t, time.Minute), nil)
		must(t, err)
		entries := 0
		for _, i := range list {
			if i.GetId() == id {
				entries++
				wantEqual(t, "tags", len(i.GetRepoTags()), 3)
			}
		}
		wantEqual(t, "entries", entries, 1)
		filtered, err := imageService.ListImages(within(t, time.Minute), &cri.ImageFilter{Image: &cri.ImageSpec{Image: "registry.test/test/removable-1:3"}})
		must(t, err)
		wantEqual(t, "filtered", len(filtered), 1)
		removeImage(t, "registry.test/test/removable-1:1")
	})
}

func TestRemoveImage(t *testing.T) {
	t.Run("unknown is OK", func(t *testing.T) {
		removeImage(t, "registry.test/test/absent:1")
		removeImage(t, absent)
	})
	t.Run("any tag removes the image with all of them", func(t *testing.T) {
		for _, tag := range []string{"1", "2"} {
			pull(t, "registry.test/test/removable-2:"+tag)
		}
		removeImage(t, "registry.test/test/removable-2:1")
		if i := imageStatus(t, "registry.test/test/removable-2:2"); i != nil {
			t.Errorf("%v", i)
		}
		removeImage(t, "registry.test/test/removable-2:1")
	})
	t.Run("a running container keeps its layers", func(t *testing.T) {
		const reference = "registry.test/test/removable-4:1"
		_, id := run(t, forever, func(c *cri.ContainerConfig) { c.Image.Image = reference })
		removeImage(t, reference)
		if i := imageStatus(t, reference); i != nil {
			t.Errorf("%v", i)
		}
		wantEqual(t, "output", exec(t, id, "echo", "alive"), "alive\n")
	})
}

func TestImageIdIsTheSameEverywhere(t *testing.T) {
	pulled := pull(t, busybox)
	p, id := run(t, forever)
	list, err := runtimeService.ListContainers(within(t, time.Minute), &cri.ContainerFilter{PodSandboxId: p.id})
	must(t, err)
	for what, got := range map[string]string{"Image.id": imageStatus(t, busybox).GetId(), "Container.image_id": list[0].GetImageId(),
		"ContainerStatus.image_id": statusOf(t, id).GetImageId()} {
		wantEqual(t, what, got, pulled)
	}
	s := statusOf(t, id)
	wantEqual(t, "image", s.GetImage().GetImage(), busybox)
	wantEqual(t, "image_ref", s.GetImageRef(), digestOf(t, busybox))
}

func TestImageFsInfo(t *testing.T) {
	t.Run("rises with a pull and falls after the removal", func(t *testing.T) {
		used := func() uint64 {
			info, err := imageService.ImageFsInfo(within(t, time.Minute))
			must(t, err)
			if len(info.GetImageFilesystems()) == 0 || info.GetImageFilesystems()[0].GetFsId().GetMountpoint() == "" {
				t.Fatalf("%v", info)
			}
			return info.GetImageFilesystems()[0].GetUsedBytes().GetValue()
		}
		const reference, size = "registry.test/test/large:1", 4 << 20
		ensureImage(t, busybox) // whose layer it shares
		before := used()
		pull(t, reference)
		eventually(t, "the use rises", func() bool { return used() >= before+size })
		removeImage(t, reference)
		eventually(t, "the use falls", func() bool { return used() < before+size })
	})
}
