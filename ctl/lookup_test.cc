#include "ctl/lookup.h"

#include <gtest/gtest.h>

namespace berth::ctl {
namespace {

cri::ListContainersResponse Containers() {
  cri::ListContainersResponse list;
  const auto add = [&](const std::string& id, const std::string& name, cri::ContainerState state) {
    cri::Container* c = list.add_containers();
    c->set_id(id);
    c->mutable_metadata()->set_name(name);
    c->set_state(state);
  };
  add("aaaa1111", "web", cri::CONTAINER_EXITED);
  add("aaaa2222", "web", cri::CONTAINER_RUNNING);
  add("bbbb3333", "db", cri::CONTAINER_EXITED);
  add("cccc4444", "db", cri::CONTAINER_EXITED);
  return list;
}

TEST(LookupTest, ARunningContainerIsMeantBeforeAnEndedOneOfItsName) {
  EXPECT_EQ(PickContainer(Containers(), "web")->id(), "aaaa2222");
}

TEST(LookupTest, AnIdOrItsBeginningIsEnough) {
  EXPECT_EQ(PickContainer(Containers(), "aaaa1111")->id(), "aaaa1111");
  EXPECT_EQ(PickContainer(Containers(), "bbbb")->id(), "bbbb3333");
}

TEST(LookupTest, WhatFitsSeveralIsRefused) {
  EXPECT_EQ(PickContainer(Containers(), "db").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(PickContainer(Containers(), "aaaa").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(LookupTest, WhatFitsNothingIsNotFoundAndNamed) {
  const auto found = PickContainer(Containers(), "nobody");
  EXPECT_EQ(found.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(found.status().message(), "find container nobody: none");
  EXPECT_FALSE(PickContainer(Containers(), "bbb").ok()) << "too short a beginning";
}

}  // namespace
}  // namespace berth::ctl
