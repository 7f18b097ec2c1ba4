// Holds the linked-in descriptor of runtime.v1 against tests/fixtures/cri_descriptor.txt, which
// tests/wire/make_fixture.sh writes from the Go module k8s.io/cri-api. One line a fact, in the form
// of tests/wire/lines.go, so that a difference names what differs.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cri.pb.h"

namespace berth {
namespace {

namespace pb = ::google::protobuf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Lines = std::vector<std::string>;

template <typename Descriptor>
const char* Deprecated(const Descriptor& descriptor) {
  return descriptor.options().deprecated() ? " deprecated" : "";
}

std::string TypeName(const pb::FieldDescriptor& field) {
  if (field.message_type() != nullptr) return field.message_type()->full_name();
  if (field.enum_type() != nullptr) return field.enum_type()->full_name();
  return field.type_name();
}

std::string Kind(const pb::FieldDescriptor& field) {
  if (field.is_map()) {
    const pb::Descriptor& entry = *field.message_type();
    return absl::StrCat("map<", TypeName(*entry.map_key()), ", ", TypeName(*entry.map_value()),
                        ">");
  }
  if (field.is_repeated()) return absl::StrCat("repeated ", TypeName(field));
  if (field.has_optional_keyword()) return absl::StrCat("optional ", TypeName(field));
  const pb::OneofDescriptor* oneof = field.containing_oneof();
  return absl::StrCat(TypeName(field), oneof == nullptr ? "" : " oneof ",
                      oneof == nullptr ? "" : oneof->name());
}

void AddEnum(const pb::EnumDescriptor& type, Lines* lines) {
  lines->push_back(absl::StrCat("enum ", type.full_name(), Deprecated(type)));
  for (int i = 0; i < type.value_count(); ++i) {
    const pb::EnumValueDescriptor& value = *type.value(i);
    lines->push_back(absl::StrCat("value ", type.full_name(), ".", value.name(), " = ",
                                  value.number(), Deprecated(value)));
  }
}

void AddMessage(const pb::Descriptor& type, Lines* lines) {
  if (type.options().map_entry()) return;  // said by its field
  lines->push_back(absl::StrCat("message ", type.full_name(), Deprecated(type)));
  for (int i = 0; i < type.real_oneof_decl_count(); ++i) {
    lines->push_back(absl::StrCat("oneof ", type.oneof_decl(i)->full_name()));
  }
  for (int i = 0; i < type.field_count(); ++i) {
    const pb::FieldDescriptor& field = *type.field(i);
    lines->push_back(absl::StrCat("field ", field.full_name(), " = ", field.number(), " ",
                                  Kind(field), Deprecated(field)));
  }
  for (int i = 0; i < type.enum_type_count(); ++i) AddEnum(*type.enum_type(i), lines);
  for (int i = 0; i < type.nested_type_count(); ++i) AddMessage(*type.nested_type(i), lines);
}

void AddService(const pb::ServiceDescriptor& service, Lines* lines) {
  lines->push_back(absl::StrCat("service ", service.full_name(), Deprecated(service)));
  for (int i = 0; i < service.method_count(); ++i) {
    const pb::MethodDescriptor& method = *service.method(i);
    lines->push_back(absl::StrCat(
        "rpc ", method.full_name(), method.client_streaming() ? " stream " : " ",
        method.input_type()->full_name(), method.server_streaming() ? " -> stream " : " -> ",
        method.output_type()->full_name(), Deprecated(method)));
  }
}

Lines LinesOf(const pb::FileDescriptor& file) {
  Lines lines = {absl::StrCat("file ", file.package(), " ", file.SyntaxName(file.syntax()))};
  for (int i = 0; i < file.service_count(); ++i) AddService(*file.service(i), &lines);
  for (int i = 0; i < file.enum_type_count(); ++i) AddEnum(*file.enum_type(i), &lines);
  for (int i = 0; i < file.message_type_count(); ++i) AddMessage(*file.message_type(i), &lines);
  std::sort(lines.begin(), lines.end());
  return lines;
}

// What only one of two sorted lists has.
Lines Differences(const Lines& ours, const Lines& fixture) {
  Lines only, out;
  std::set_difference(ours.begin(), ours.end(), fixture.begin(), fixture.end(),
                      std::back_inserter(only));
  for (const std::string& line : only) out.push_back(absl::StrCat("only in cri.proto: ", line));
  only.clear();
  std::set_difference(fixture.begin(), fixture.end(), ours.begin(), ours.end(),
                      std::back_inserter(only));
  for (const std::string& line : only) out.push_back(absl::StrCat("only in the fixture: ", line));
  return out;
}

Lines Fixture() {
  std::ifstream file(std::string(BERTH_SOURCE_DIR) + "/tests/fixtures/cri_descriptor.txt");
  Lines lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  return lines;
}

const pb::FileDescriptor& Linked() { return *runtime::v1::VersionRequest::descriptor()->file(); }

// The linked descriptor with one thing changed.
template <typename Edit>
Lines LinesOfEdited(const Edit& edit) {
  pb::FileDescriptorProto file;
  Linked().CopyTo(&file);
  edit(&file);
  pb::DescriptorPool pool;
  const pb::FileDescriptor* built = pool.BuildFile(file);
  EXPECT_NE(built, nullptr);
  return built == nullptr ? Lines() : LinesOf(*built);
}

TEST(CriDescriptorTest, LinkedDescriptorSaysWhatCriApiRegisters) {
  const Lines fixture = Fixture();
  ASSERT_GT(fixture.size(), 800u);
  EXPECT_THAT(Differences(LinesOf(Linked()), fixture), IsEmpty());
}

TEST(CriDescriptorTest, ChangedNumberIsNamedFromBothSides) {
  const Lines changed = LinesOfEdited([](pb::FileDescriptorProto* file) {
    for (auto& message : *file->mutable_message_type()) {
      if (message.name() == "VersionRequest") message.mutable_field(0)->set_number(7);
    }
  });
  EXPECT_THAT(
      Differences(changed, Fixture()),
      ElementsAre("only in cri.proto: field runtime.v1.VersionRequest.version = 7 string",
                  "only in the fixture: field runtime.v1.VersionRequest.version = 1 string"));
}

TEST(CriDescriptorTest, StreamingEnumValueAndDeprecationCount) {
  const Lines changed = LinesOfEdited([](pb::FileDescriptorProto* file) {
    file->mutable_service(0)->mutable_method(0)->set_server_streaming(true);
    file->mutable_enum_type(0)->mutable_value(1)->set_number(9);
    file->mutable_enum_type(0)->mutable_options()->set_deprecated(true);
  });
  EXPECT_THAT(Differences(changed, Fixture()),
              ElementsAre("only in cri.proto: enum runtime.v1.Protocol deprecated",
                          "only in cri.proto: rpc runtime.v1.RuntimeService.Version "
                          "runtime.v1.VersionRequest -> stream runtime.v1.VersionResponse",
                          "only in cri.proto: value runtime.v1.Protocol.UDP = 9",
                          "only in the fixture: enum runtime.v1.Protocol",
                          "only in the fixture: rpc runtime.v1.RuntimeService.Version "
                          "runtime.v1.VersionRequest -> runtime.v1.VersionResponse",
                          "only in the fixture: value runtime.v1.Protocol.UDP = 1"));
}

}  // namespace
}  // namespace berth
