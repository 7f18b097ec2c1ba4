// Package wire holds Berth's CRI descriptor against the one that k8s.io/cri-api registers.
package wire

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Lines writes every wire fact of a file as one line each, sorted: services, calls, messages,
// fields, oneofs, enums and values, with "deprecated" as the only option that counts. The same form
// is written in C++ by tests/cri_descriptor_test.cc.
func Lines(file protoreflect.FileDescriptor) []string {
	w := &writer{}
	w.add("file %s %s", file.Package(), file.Syntax())
	for i := range file.Services().Len() {
		w.service(file.Services().Get(i))
	}
	for i := range file.Enums().Len() {
		w.enum(file.Enums().Get(i))
	}
	for i := range file.Messages().Len() {
		w.message(file.Messages().Get(i))
	}
	slices.Sort(w.lines)
	return w.lines
}

type writer struct{ lines []string }

func (w *writer) add(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

func (w *writer) service(s protoreflect.ServiceDescriptor) {
	w.add("service %s%s", s.FullName(), deprecated(s))
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		w.add("rpc %s %s%s -> %s%s%s", m.FullName(),
			stream(m.IsStreamingClient()), m.Input().FullName(),
			stream(m.IsStreamingServer()), m.Output().FullName(), deprecated(m))
	}
}

func (w *writer) enum(e protoreflect.EnumDescriptor) {
	w.add("enum %s%s", e.FullName(), deprecated(e))
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		w.add("value %s.%s = %d%s", e.FullName(), v.Name(), v.Number(), deprecated(v))
	}
}

func (w *writer) message(m protoreflect.MessageDescriptor) {
	if m.IsMapEntry() { // said by its field
		return
	}
	w.add("message %s%s", m.FullName(), deprecated(m))
	for i := range m.Oneofs().Len() {
		if o := m.Oneofs().Get(i); !o.IsSynthetic() {
			w.add("oneof %s", o.FullName())
		}
	}
	for i := range m.Fields().Len() {
		w.field(m.Fields().Get(i))
	}
	for i := range m.Enums().Len() {
		w.enum(m.Enums().Get(i))
	}
	for i := range m.Messages().Len() {
		w.message(m.Messages().Get(i))
	}
}

func (w *writer) field(f protoreflect.FieldDescriptor) {
	kind, oneof := "", ""
	switch {
	case f.IsMap():
		kind = fmt.Sprintf("map<%s, %s>", typeName(f.MapKey()), typeName(f.MapValue()))
	case f.HasOptionalKeyword():
		kind = "optional " + typeName(f)
	case f.IsList():
		kind = "repeated " + typeName(f)
	default:
		kind = typeName(f)
		if o := f.ContainingOneof(); o != nil {
			oneof = " oneof " + string(o.Name())
		}
	}
	w.add("field %s = %d %s%s%s", f.FullName(), f.Number(), kind, oneof, deprecated(f))
}

func typeName(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return string(f.Message().FullName())
	case protoreflect.EnumKind:
		return string(f.Enum().FullName())
	default:
		return f.Kind().String()
	}
}

func stream(yes bool) string {
	if yes {
		return "stream "
	}
	return ""
}

func deprecated(d protoreflect.Descriptor) string {
	if o, ok := d.Options().(interface{ GetDeprecated() bool }); ok && o.GetDeprecated() {
		return " deprecated"
	}
	return ""
}

// Differences names what only one of two sorted lists has, one line each.
func Differences(ours, theirs []string) []string {
	var out []string
	for _, line := range ours {
		if _, found := slices.BinarySearch(theirs, line); !found {
			out = append(out, "only in Berth's:   "+line)
		}
	}
	for _, line := range theirs {
		if _, found := slices.BinarySearch(ours, line); !found {
			out = append(out, "only in cri-api's: "+line)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		return strings.Compare(a[len("only in cri-api's: "):], b[len("only in cri-api's: "):])
	})
	return out
}
