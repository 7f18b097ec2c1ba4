// Package registry fills a container registry over the distribution API.
package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"berth.dev/tests/conformance/image"
)

// Client writes to one registry over plain HTTP.
type Client struct {
	base string // http://host:port
	http http.Client
}

func NewClient(address string) *Client {
	return &Client{"http://" + address, http.Client{Timeout: time.Minute}}
}

// Push uploads an image and points the tags at it.
func (c *Client) Push(repository string, tags []string, i image.Image) error {
	for _, blob := range i.Blobs {
		if err := c.putBlob(repository, blob); err != nil {
			return fmt.Errorf("push %s: %w", repository, err)
		}
	}
	for _, manifest := range i.Manifests {
		if err := c.putManifest(repository, manifest.Digest, manifest); err != nil {
			return fmt.Errorf("push %s: %w", repository, err)
		}
	}
	for _, tag := range tags {
		if err := c.putManifest(repository, tag, i.Top()); err != nil {
			return fmt.Errorf("push %s: %w", repository, err)
		}
	}
	return nil
}

func (c *Client) putBlob(repository string, blob image.Blob) error {
	url := fmt.Sprintf("%s/v2/%s/blobs/%s", c.base, repository, blob.Digest)
	if response, err := c.do(http.MethodHead, url, "", nil); err == nil && response.StatusCode == http.StatusOK {
		return nil
	}
	response, err := c.expect(http.MethodPost, fmt.Sprintf("%s/v2/%s/blobs/uploads/", c.base, repository), "", nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	location := response.Header.Get("Location")
	if strings.HasPrefix(location, "/") {
		location = c.base + location
	}
	separator := "?"
	if strings.Contains(location, "?") {
		separator = "&"
	}
	_, err = c.expect(http.MethodPut, location+separator+"digest="+blob.Digest, "application/octet-stream", blob.Data, http.StatusCreated)
	return err
}

func (c *Client) putManifest(repository, reference string, manifest image.Blob) error {
	_, err := c.expect(http.MethodPut, fmt.Sprintf("%s/v2/%s/manifests/%s", c.base, repository, reference),
		manifest.MediaType, manifest.Data, http.StatusCreated)
	return err
}

func (c *Client) expect(method, url, contentType string, body []byte, code int) (*http.Response, error) {
	response, err := c.do(method, url, contentType, body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != code {
		return nil, fmt.Errorf("%s %s: %s, wanted %d", method, url, response.Status, code)
	}
	return response, nil
}

func (c *Client) do(method, url, contentType string, body []byte) (*http.Response, error) {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response, err
}

// Ready waits until the registry answers.
func (c *Client) Ready(ctx context.Context) error {
	for {
		_, err := c.expect(http.MethodGet, c.base+"/v2/", "", nil, http.StatusOK)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the registry does not answer: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
