package image

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sort"
)

const passwd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
`

const group = `root:x:0:
daemon:x:1:
www-data:x:33:
nogroup:x:65534:
`

// Busybox is a root file system of one static busybox. The applets are hard links: a test masks
// /bin/ls, and a symlink would hide busybox itself and the shell with it.
func Busybox(program string, c Compression) (Packed, error) {
	data, err := os.ReadFile(program)
	if err != nil {
		return Packed{}, err
	}
	list, err := exec.Command(program, "--list").Output()
	if err != nil {
		return Packed{}, fmt.Errorf("%s --list: %w", program, err)
	}
	var applets []string
	for _, name := range bytes.Fields(list) {
		if !bytes.ContainsRune(name, '/') && string(name) != "busybox" {
			applets = append(applets, string(name))
		}
	}
	sort.Strings(applets)

	l := NewLayer()
	for _, dir := range []string{"bin", "dev", "etc", "home", "mnt", "proc", "root", "sbin", "sys", "usr", "usr/bin",
		"usr/sbin", "usr/share", "usr/local", "usr/local/bin", "var", "var/lib", "var/log", "var/run", "var/www"} {
		l.Dir(dir, 0o755)
	}
	l.Dir("tmp", 0o1777).Dir("var/tmp", 0o1777)
	l.File("bin/busybox", 0o755, data)
	for _, name := range applets {
		l.Hardlink("bin/"+name, "bin/busybox")
	}
	l.File("etc/passwd", 0o644, []byte(passwd)).File("etc/group", 0o644, []byte(group))
	l.File("etc/shadow", 0o600, []byte("root:*:::::::\n"))
	return l.Pack(c)
}

// Marker is a layer with one empty file: it makes images different that are otherwise alike.
func Marker(name string, c Compression) (Packed, error) {
	return NewLayer().File(name, 0o644, nil).Pack(c)
}
