package wire

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const fixture = "../fixtures/cri_descriptor.txt"

var update = flag.Bool("update", false, "rewrite "+fixture+" from k8s.io/cri-api")

// theirs is the file in which k8s.io/cri-api registers its messages.
func theirs(t *testing.T) protoreflect.FileDescriptor {
	t.Helper()
	file := (&runtimeapi.VersionRequest{}).ProtoReflect().Descriptor().ParentFile()
	if found, err := protoregistry.GlobalFiles.FindFileByPath(file.Path()); err != nil || found != file {
		t.Fatalf("%s is not registered: %v", file.Path(), err)
	}
	return file
}

// ours reads the FileDescriptorSet that protoc made of proto/cri.proto; `edit` may change it.
func ours(t *testing.T, edit func(*descriptorpb.FileDescriptorProto)) protoreflect.FileDescriptor {
	t.Helper()
	path := os.Getenv("BERTH_CRI_DESCRIPTOR")
	if path == "" {
		t.Fatal("BERTH_CRI_DESCRIPTOR names no file; use tests/wire/run")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(data, &set); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if len(set.File) != 1 {
		t.Fatalf("%s has %d files, want cri.proto alone", path, len(set.File))
	}
	edit(set.File[0])
	file, err := protodesc.NewFile(set.File[0], new(protoregistry.Files))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return file
}

func unchanged(*descriptorpb.FileDescriptorProto) {}

func TestOurDescriptorSaysWhatCriApiRegisters(t *testing.T) {
	want, got := Lines(theirs(t)), Lines(ours(t, unchanged))
	if len(want) < 800 {
		t.Errorf("cri-api's descriptor has %d lines only", len(want))
	}
	for _, difference := range Differences(got, want) {
		t.Error(difference)
	}
}

func TestEachKindOfChangeIsNoticed(t *testing.T) {
	message := func(f *descriptorpb.FileDescriptorProto, name string) *descriptorpb.DescriptorProto {
		i := slices.IndexFunc(f.MessageType, func(m *descriptorpb.DescriptorProto) bool {
			return m.GetName() == name
		})
		return f.MessageType[i]
	}
	changes := map[string]struct {
		edit func(*descriptorpb.FileDescriptorProto)
		want string
	}{
		"number": {func(f *descriptorpb.FileDescriptorProto) {
			message(f, "VersionRequest").Field[0].Number = proto.Int32(7)
		}, "field runtime.v1.VersionRequest.version = 7 string"},
		"type": {func(f *descriptorpb.FileDescriptorProto) {
			message(f, "VersionRequest").Field[0].Type = descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum()
		}, "field runtime.v1.VersionRequest.version = 1 bytes"},
		"label": {func(f *descriptorpb.FileDescriptorProto) {
			message(f, "VersionRequest").Field[0].Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}, "field runtime.v1.VersionRequest.version = 1 repeated string"},
		"name": {func(f *descriptorpb.FileDescriptorProto) {
			message(f, "VersionRequest").Field[0].Name = proto.String("edition")
		}, "field runtime.v1.VersionRequest.edition = 1 string"},
		"streaming": {func(f *descriptorpb.FileDescriptorProto) {
			f.Service[0].Method[0].ServerStreaming = proto.Bool(true)
		}, "rpc runtime.v1.RuntimeService.Version runtime.v1.VersionRequest -> stream runtime.v1.VersionResponse"},
		"enum value": {func(f *descriptorpb.FileDescriptorProto) {
			f.EnumType[0].Value[1].Number = proto.Int32(9)
		}, "value runtime.v1.Protocol.UDP = 9"},
		"deprecation": {func(f *descriptorpb.FileDescriptorProto) {
			message(f, "VersionRequest").Field[0].Options = &descriptorpb.FieldOptions{Deprecated: proto.Bool(true)}
		}, "field runtime.v1.VersionRequest.version = 1 string deprecated"},
		"missing call": {func(f *descriptorpb.FileDescriptorProto) {
			f.Service[1].Method = f.Service[1].Method[1:]
		}, "rpc runtime.v1.ImageService.ListImages runtime.v1.ListImagesRequest -> runtime.v1.ListImagesResponse"},
	}
	want := Lines(theirs(t))
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			differences := Differences(Lines(ours(t, change.edit)), want)
			if !slices.ContainsFunc(differences, func(d string) bool { return strings.HasSuffix(d, change.want) }) {
				t.Errorf("no %q among %q", change.want, differences)
			}
		})
	}
}

func TestFixtureIsWhatCriApiRegisters(t *testing.T) {
	want := strings.Join(Lines(theirs(t)), "\n") + "\n"
	if *update {
		if err := os.WriteFile(fixture, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(fixture)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is stale: run tests/wire/make_fixture.sh", fixture)
	}
}

func TestPinnedVersionIsTheModulesVersion(t *testing.T) {
	find := func(path, pattern string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		match := regexp.MustCompile(pattern).FindSubmatch(data)
		if match == nil {
			t.Fatalf("%s: nothing like %s", path, pattern)
		}
		return string(match[1])
	}
	pinned := find("../versions.env", `(?m)^CRI_API_VERSION=(\S+)$`)
	if used := find("go.mod", `k8s\.io/cri-api (v\S+)`); used != pinned {
		t.Errorf("go.mod has k8s.io/cri-api %s, tests/versions.env %s", used, pinned)
	}
}
