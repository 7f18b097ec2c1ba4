// Package image makes container images in memory: the same inputs give the same digests.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Compression is how the registry serves a layer.
type Compression int

const (
	Gzip Compression = iota
	Zstd
	Plain
)

// Layer is a tar under construction. Owner 0, no times, members in the order of the calls.
type Layer struct {
	buffer bytes.Buffer
	tar    *tar.Writer
}

func NewLayer() *Layer {
	l := &Layer{}
	l.tar = tar.NewWriter(&l.buffer)
	return l
}

func (l *Layer) add(header tar.Header, data []byte) *Layer {
	header.Name = strings.TrimPrefix(header.Name, "/")
	header.Size = int64(len(data))
	header.ModTime = time.Unix(0, 0)
	header.Format = tar.FormatPAX
	if err := l.tar.WriteHeader(&header); err != nil {
		panic(fmt.Sprintf("tar %s: %v", header.Name, err)) // a bug of the caller: no I/O here
	}
	if _, err := l.tar.Write(data); err != nil {
		panic(fmt.Sprintf("tar %s: %v", header.Name, err))
	}
	return l
}

// Dir adds a directory of root's; mode as in chmod, so 0o1777 for /tmp.
func (l *Layer) Dir(name string, mode int64) *Layer {
	return l.add(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}, nil)
}

// OwnedDir adds a directory of another user.
func (l *Layer) OwnedDir(name string, mode int64, uid, gid int) *Layer {
	return l.add(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: uid, Gid: gid}, nil)
}

// File adds a regular file of root's.
func (l *Layer) File(name string, mode int64, data []byte) *Layer {
	return l.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}, data)
}

// Hardlink adds a second name of an earlier member.
func (l *Layer) Hardlink(name, target string) *Layer {
	return l.add(tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: strings.TrimPrefix(target, "/"), Mode: 0o755}, nil)
}

// Tree adds a directory of this machine with what is below it, sorted by name.
func (l *Layer) Tree(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || name == "." {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if entry.IsDir() {
			l.Dir(name, int64(info.Mode().Perm()))
			return nil
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is neither a directory nor a regular file", path)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		l.File(name, int64(info.Mode().Perm()), data)
		return nil
	})
}

// Packed is a finished layer: what the registry serves and what the config names.
type Packed struct {
	DiffID string
	Blob   Blob
}

// Blob is content with its address.
type Blob struct {
	MediaType string
	Digest    string
	Data      []byte
}

// Pack ends the layer.
func (l *Layer) Pack(c Compression) (Packed, error) {
	if err := l.tar.Close(); err != nil {
		return Packed{}, err
	}
	raw := l.buffer.Bytes()
	packed := Packed{DiffID: Digest(raw)}
	var out bytes.Buffer
	switch c {
	case Gzip:
		w := gzip.NewWriter(&out)
		if _, err := w.Write(raw); err != nil {
			return Packed{}, err
		}
		if err := w.Close(); err != nil {
			return Packed{}, err
		}
		packed.Blob.MediaType = ociLayer + "+gzip"
	case Zstd:
		// One thread: with more the frame depends on their timing.
		w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return Packed{}, err
		}
		if _, err := w.Write(raw); err != nil {
			return Packed{}, err
		}
		if err := w.Close(); err != nil {
			return Packed{}, err
		}
		packed.Blob.MediaType = ociLayer + "+zstd"
	case Plain:
		out.Write(raw)
		packed.Blob.MediaType = ociLayer
	}
	packed.Blob.Data = out.Bytes()
	packed.Blob.Digest = Digest(packed.Blob.Data)
	return packed, nil
}

// Digest is the sha256 digest as registries write it.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
