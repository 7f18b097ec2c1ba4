package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	remote "k8s.io/cri-client/pkg"
)

// wait returns as soon as the daemon answers Version.
func wait(args []string) error {
	flags := flag.NewFlagSet("wait", flag.ExitOnError)
	socket := flags.String("socket", "", "the daemon's CRI socket")
	patience := flags.Duration("for", 30*time.Second, "how long to wait")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), *patience)
	defer cancel()
	// The client's constructor asks for the version, once.
	for {
		service, err := remote.NewRemoteRuntimeService(ctx, "unix://"+*socket, *patience, nil, false)
		if err == nil {
			return service.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// empty removes every pod and image: what a failed spec left is no leak of the daemon's.
func empty(args []string) error {
	flags := flag.NewFlagSet("empty", flag.ExitOnError)
	socket := flags.String("socket", "", "the daemon's CRI socket")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	runtime, err := remote.NewRemoteRuntimeService(ctx, "unix://"+*socket, time.Minute, nil, false)
	if err != nil {
		return err
	}
	images, err := remote.NewRemoteImageService(ctx, "unix://"+*socket, time.Minute, nil, false)
	if err != nil {
		return err
	}
	return errors.Join(removePods(ctx, runtime), removeImages(ctx, images))
}

func removePods(ctx context.Context, runtime internalapi.RuntimeService) error {
	pods, err := runtime.ListPodSandbox(ctx, nil)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		fmt.Printf("left behind: pod %s (%s)\n", pod.GetMetadata().GetName(), pod.GetId())
		err = errors.Join(err, runtime.StopPodSandbox(ctx, pod.GetId()), runtime.RemovePodSandbox(ctx, pod.GetId()))
	}
	return err
}

func removeImages(ctx context.Context, service internalapi.ImageManagerService) error {
	images, err := service.ListImages(ctx, nil)
	if err != nil {
		return err
	}
	for _, image := range images {
		err = errors.Join(err, service.RemoveImage(ctx, &runtimeapi.ImageSpec{Image: image.GetId()}))
	}
	return err
}
