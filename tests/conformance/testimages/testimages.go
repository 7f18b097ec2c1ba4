// Package testimages lists the images of the two users of this lane: critest, which has its references
// compiled in, and our own suite.
package testimages

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"

	"berth.dev/tests/conformance/image"
	"berth.dev/tests/conformance/registry"
)

// Inputs are files of this machine that go into the images.
type Inputs struct {
	Busybox    string // a static busybox
	Nginx      string // a part of a root file system with nginx and its libraries (fetch_nginx)
	NoNewPrivs string // the static program of images/nonewprivs
}

// pusher keeps the first error, so that the lists below read as lists.
type pusher struct {
	client *registry.Client
	err    error
}

func (p *pusher) layer(l image.Packed, err error) image.Packed {
	if p.err == nil {
		p.err = err
	}
	return l
}

func (p *pusher) push(repository string, tags []string, kind image.Kind, config image.Config, layers ...image.Packed) {
	if p.err != nil {
		return
	}
	built, err := image.Build(kind, repository, config, layers...)
	if err == nil {
		err = p.client.Push(repository, tags, built)
	}
	p.err = err
}

var shell = image.Config{Cmd: []string{"sh"}}

func withUser(user string) image.Config { return image.Config{Cmd: []string{"sh"}, User: user} }

// PushCritest pushes what critest refers to. Registries are told apart by the mirror table of the
// daemon, not here: the paths of registry.k8s.io, k8s.gcr.io and gcr.io do not collide.
func PushCritest(client *registry.Client, in Inputs) error {
	p := &pusher{client: client}
	busybox := p.layer(image.Busybox(in.Busybox, image.Gzip))
	busyboxZstd := p.layer(image.Busybox(in.Busybox, image.Zstd))
	marker := func(name string) image.Packed { return p.layer(image.Marker(name, image.Gzip)) }
	latest := []string{"latest"}

	const e2e, cri = "e2e-test-images/", "k8s-staging-cri-tools/"
	p.push("pause", []string{"3.9", "3.10"}, image.OciIndex, image.Config{Cmd: []string{"sleep", "100000"}, User: "65535:65535"}, busybox)
	p.push(e2e+"busybox", []string{"1.29-2"}, image.DockerList, shell, busybox)
	p.pushServers(in, busybox)

	// Their users need not be in the image: they are looked at, never run.
	p.push(cri+"test-image-user-uid", latest, image.DockerList, withUser("1002"), busybox)
	p.push(cri+"test-image-user-username", latest, image.DockerManifest, withUser("www-data"), busybox)
	p.push(cri+"test-image-user-uid-group", latest, image.OciIndex, withUser("1003:1004"), busybox)
	p.push(cri+"test-image-user-username-group", latest, image.OciManifest, withUser("www-data:1004"), busybox)
	p.push(cri+"test-image-predefined-group", latest, image.OciIndex, withUser("1000"), busybox, p.layer(predefinedGroup()))

	p.push(cri+"test-image-latest", latest, image.OciIndex, shell, busyboxZstd, marker("latest"))
	p.push(cri+"test-image-tag", []string{"test"}, image.DockerList, shell, busybox, marker("test"))
	p.push(cri+"test-image-tag", []string{"all"}, image.OciIndex, shell, busyboxZstd, marker("all"))
	p.push(cri+"test-image-tags", []string{"1", "2", "3"}, image.OciManifest, shell, busybox, marker("tags"))
	for i, kind := range []image.Kind{image.DockerList, image.DockerManifest, image.OciManifest} {
		name := fmt.Sprintf("test-image-%d", i+1)
		p.push(cri+name, latest, kind, shell, busybox, marker(name))
	}
	return p.err
}

// PushSuite pushes the images of our own suite.
func PushSuite(client *registry.Client, in Inputs) error {
	p := &pusher{client: client}
	busybox := p.layer(image.Busybox(in.Busybox, image.Gzip))
	busyboxZstd := p.layer(image.Busybox(in.Busybox, image.Zstd))
	busyboxPlain := p.layer(image.Busybox(in.Busybox, image.Plain))
	marker := func(name string) image.Packed { return p.layer(image.Marker(name, image.Gzip)) }

	p.push("test/busybox", []string{"1", "one"}, image.OciIndex, shell, busybox)
	p.push("test/zstd", []string{"1"}, image.OciManifest, shell, busyboxZstd, marker("zstd"))
	p.push("test/plain", []string{"1"}, image.OciManifest, shell, busyboxPlain, marker("plain"))
	p.push("test/docker", []string{"1"}, image.DockerManifest, shell, busybox, marker("docker"))
	p.push("test/docker-list", []string{"1"}, image.DockerList, shell, busybox, marker("docker-list"))
	p.push("test/user", []string{"1"}, image.OciManifest, image.Config{User: "www-data:33", WorkingDir: "/made/by/runtime",
		Env: []string{"FROM_IMAGE=yes", "OVERRIDDEN=image"}, Entrypoint: []string{"/bin/echo", "entrypoint"},
		Cmd: []string{"cmd"}, StopSignal: "SIGUSR1"}, busybox)
	p.push("test/group", []string{"1"}, image.OciManifest, withUser("1000"), busybox, p.layer(predefinedGroup()))
	p.push("test/nothing", []string{"1"}, image.OciManifest, image.Config{}, busybox)
	// Bytes that no other image has, and that do not compress.
	noise := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // documented to return no error
	p.push("test/large", []string{"1"}, image.OciManifest, shell, busybox,
		p.layer(image.NewLayer().File("noise", 0o644, noise).Pack(image.Gzip)))
	for i := 1; i <= 4; i++ {
		name := fmt.Sprintf("test/removable-%d", i)
		p.push(name, []string{"1", "2", "3"}, image.OciManifest, shell, busybox, marker(name))
	}
	return p.err
}

func predefinedGroup() (image.Packed, error) {
	l := image.NewLayer()
	l.OwnedDir("home/default-user", 0o755, 1000, 1000)
	l.File("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\n"+
		"default-user:x:1000:1000:Linux User,,,:/home/default-user:/bin/sh\n"+
		"nobody:x:65534:65534:nobody:/home:/bin/false\n"))
	l.File("etc/group", 0o644, []byte("root:x:0:\ndefault-user:x:1000:\n"+
		"group-defined-in-image:x:50000:default-user\nnogroup:x:65534:\n"))
	return l.Pack(image.Gzip)
}

// pushServers pushes the images that are run for what they serve or print.
func (p *pusher) pushServers(in Inputs, busybox image.Packed) {
	nginx := func(port int) image.Packed { return p.layer(nginxLayer(in.Nginx, port)) }
	config := image.Config{Cmd: []string{"/usr/sbin/nginx", "-g", "daemon off;"}}
	p.push("e2e-test-images/nginx", []string{"1.14-2"}, image.DockerManifest, config, busybox, nginx(80))
	p.push("k8s-staging-cri-tools/hostnet-nginx-"+runtime.GOARCH, []string{"latest"}, image.OciManifest, config, busybox, nginx(12003))

	httpd := image.NewLayer().Dir("usr/local/htdocs", 0o755)
	// The first line of the log names the program: the log spec looks for it.
	httpd.File("usr/local/bin/httpd-foreground", 0o755, []byte("#!/bin/sh\necho 'httpd: serving port 80'\n"+
		"exec httpd -f -vv -p 80 -h /usr/local/htdocs\n"))
	httpd.File("usr/local/htdocs/index.html", 0o644, []byte("<html><body><h1>It works!</h1></body></html>\n"))
	p.push("e2e-test-images/httpd", []string{"2.4.39-4"}, image.OciIndex, image.Config{Cmd: []string{"httpd-foreground"}},
		busybox, p.layer(httpd.Pack(image.Gzip)))

	program, err := os.ReadFile(in.NoNewPrivs)
	if err != nil && p.err == nil {
		p.err = err
	}
	setuid := image.NewLayer().File("nonewprivs", 0o4755, program)
	p.push("e2e-test-images/nonewprivs", []string{"1.3"}, image.OciManifest, image.Config{Entrypoint: []string{"/nonewprivs"}},
		busybox, p.layer(setuid.Pack(image.Gzip)))
}

func nginxLayer(tree string, port int) (image.Packed, error) {
	l := image.NewLayer()
	if err := l.Tree(tree); err != nil {
		return image.Packed{}, err
	}
	for _, dir := range []string{"etc/nginx", "usr/share/nginx", "usr/share/nginx/html", "var/lib/nginx", "var/log/nginx"} {
		l.Dir(dir, 0o755)
	}
	// The names below /var/run and the process's title are what critest looks for.
	l.File("etc/nginx/nginx.conf", 0o644, fmt.Appendf(nil, `user www-data;
worker_processes 1;
pid /var/run/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 64; }
http {
  access_log /dev/stdout;
  server {
    listen %d;
    root /usr/share/nginx/html;
  }
}
`, port))
	l.File("usr/share/nginx/html/index.html", 0o644, []byte("<html><body><h1>Welcome to nginx!</h1></body></html>\n"))
	return l.Pack(image.Gzip)
}
