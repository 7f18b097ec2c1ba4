package image

import "testing"

func TestTheSameInputsGiveTheSameDigests(t *testing.T) {
	build := func(kind Kind, c Compression) Image {
		layer, err := NewLayer().Dir("etc", 0o755).File("etc/name", 0o4755, []byte("text")).Hardlink("etc/other", "etc/name").Pack(c)
		if err != nil {
			t.Fatal(err)
		}
		built, err := Build(kind, "title", Config{User: "1000"}, layer)
		if err != nil {
			t.Fatal(err)
		}
		return built
	}
	seen := map[string]bool{}
	for _, c := range []Compression{Gzip, Zstd, Plain} {
		for _, kind := range []Kind{OciManifest, OciIndex, DockerManifest, DockerList} {
			first, second := build(kind, c), build(kind, c)
			if first.Top().Digest != second.Top().Digest {
				t.Errorf("kind %d, compression %d: %s, then %s", kind, c, first.Top().Digest, second.Top().Digest)
			}
			if seen[first.Top().Digest] {
				t.Errorf("kind %d, compression %d: another form has the same digest", kind, c)
			}
			seen[first.Top().Digest] = true
		}
	}
}
