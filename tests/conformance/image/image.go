package image

import (
	"encoding/json"
	"runtime"
)

// Kind is the form in which an image is pushed; the images mix them on purpose.
type Kind int

const (
	OciManifest Kind = iota
	OciIndex
	DockerManifest
	DockerList
)

const (
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex       = "application/vnd.oci.image.index.v1+json"
	ociConfig      = "application/vnd.oci.image.config.v1+json"
	ociLayer       = "application/vnd.oci.image.layer.v1.tar"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar"
)

// Config is the part of an image's configuration that the tests set.
type Config struct {
	User       string              `json:"User,omitempty"`
	Env        []string            `json:"Env,omitempty"`
	Entrypoint []string            `json:"Entrypoint,omitempty"`
	Cmd        []string            `json:"Cmd,omitempty"`
	WorkingDir string              `json:"WorkingDir,omitempty"`
	StopSignal string              `json:"StopSignal,omitempty"`
	Labels     map[string]string   `json:"Labels,omitempty"`
	Ports      map[string]struct{} `json:"ExposedPorts,omitempty"`
}

// Image is all that is pushed under a name: Blobs first, then Manifests, the last of which is what
// the tags point at.
type Image struct {
	ID        string // digest of the config: what CRI calls the image's id
	Blobs     []Blob
	Manifests []Blob
}

// Top is what a tag points at.
func (i Image) Top() Blob { return i.Manifests[len(i.Manifests)-1] }

type descriptor struct {
	MediaType string    `json:"mediaType"`
	Digest    string    `json:"digest"`
	Size      int       `json:"size"`
	Platform  *platform `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type history struct {
	Created   string `json:"created"`
	CreatedBy string `json:"created_by"`
}

const noTime = "1970-01-01T00:00:00Z"

// Build makes an image. `title` goes into its history, so that images with the same layers and
// configuration can still be different ones.
func Build(kind Kind, title string, config Config, layers ...Packed) (Image, error) {
	config.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, config.Env...)
	docker := kind == DockerManifest || kind == DockerList
	result := Image{}

	var document struct {
		Created      string `json:"created"`
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		Config       Config `json:"config"`
		RootFS       struct {
			Type    string   `json:"type"`
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
		History []history `json:"history"`
	}
	document.Created, document.Architecture, document.OS, document.Config = noTime, runtime.GOARCH, "linux", config
	document.RootFS.Type = "layers"
	var manifest struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
	}
	for _, layer := range layers {
		document.RootFS.DiffIDs = append(document.RootFS.DiffIDs, layer.DiffID)
		document.History = append(document.History, history{noTime, title})
		blob := layer.Blob
		if docker {
			blob.MediaType = dockerLayer + blob.MediaType[len(ociLayer):]
			if blob.MediaType == dockerLayer+"+gzip" {
				blob.MediaType = dockerLayer + ".gzip"
			}
		}
		manifest.Layers = append(manifest.Layers, describe(blob))
		result.Blobs = append(result.Blobs, blob)
	}

	manifest.SchemaVersion, manifest.MediaType = 2, pick(docker, dockerManifest, ociManifest)
	configBlob, err := blobOf(pick(docker, dockerConfig, ociConfig), document)
	if err != nil {
		return Image{}, err
	}
	result.ID, manifest.Config = configBlob.Digest, describe(configBlob)
	result.Blobs = append(result.Blobs, configBlob)
	top, err := blobOf(manifest.MediaType, manifest)
	if err != nil {
		return Image{}, err
	}
	result.Manifests = append(result.Manifests, top)
	if kind == OciIndex || kind == DockerList {
		index, err := indexOf(pick(docker, dockerList, ociIndex), top)
		if err != nil {
			return Image{}, err
		}
		result.Manifests = append(result.Manifests, index)
	}
	return result, nil
}

// indexOf names one manifest for this machine's platform.
func indexOf(mediaType string, manifest Blob) (Blob, error) {
	entry := describe(manifest)
	entry.Platform = &platform{runtime.GOARCH, "linux"}
	return blobOf(mediaType, struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []descriptor `json:"manifests"`
	}{2, mediaType, []descriptor{entry}})
}

func blobOf(mediaType string, document any) (Blob, error) {
	data, err := json.Marshal(document)
	return Blob{mediaType, Digest(data), data}, err
}

func describe(b Blob) descriptor {
	return descriptor{MediaType: b.MediaType, Digest: b.Digest, Size: len(b.Data)}
}

func pick(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}
