// PullImage against a real docker-registry on loopback.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <random>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/file.h"
#include "tests/e2e/e2e.h"
#include "tests/fixtures/registry.h"

namespace berth::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using Form = Registry::Form;
using Packing = Registry::Packing;

// Bytes that no compression makes smaller.
std::string Noise(size_t size) {
  std::mt19937_64 random(4711);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

test::TestImage SmallImage(const std::string& text = "top") {
  test::TestImage image;
  image.layers = {test::MakeTar({test::File("base", "base")}),
                  test::MakeTar({test::File("top", text)})};
  image.config = R"({"Cmd":["/base"],"User":"1002"})";
  return image;
}

class Pull : public E2e {
 protected:
  void SetUp() override {
    // With its own hosts directory: the machine's is nobody's business here.
    if (registry_ == nullptr) {
      registry_dir_ = absl::StrCat("/tmp/berth-test-", getpid(), "-registry");
      registry_ = std::make_unique<Registry>(Registry::Options{registry_dir_});
    }
    E2e::SetUp();
  }
  void TearDown() override {
    for (const std::string& name : made_) RemoveImage(name);
    E2e::TearDown();
  }
  static void TearDownTestSuite() {
    registry_.reset();
    EXPECT_TRUE(os::RemoveTree(AT_FDCWD, registry_dir_).ok());
    E2e::TearDownTestSuite();
  }
  static Registry& registry() { return *registry_; }

  std::string Name(const std::string& rest) {
    return absl::StrCat(registry().address(), "/", rest);
  }
  grpc::Status TryPull(const std::string& name, std::string* id = nullptr,
                       const cri::AuthConfig& auth = {},
                       absl::Duration patience = absl::Minutes(1)) {
    cri::PullImageRequest request;
    request.mutable_image()->set_image(name);
    *request.mutable_auth() = auth;
    cri::PullImageResponse response;
    grpc::Status status = images_->PullImage(Within(patience).get(), request, &response);
    if (id != nullptr) *id = response.image_ref();
    return status;
  }
  // Removed again when the test ends.
  std::string PullIt(const std::string& name) {
    std::string id;
    const grpc::Status status = TryPull(name, &id);
    EXPECT_TRUE(status.ok()) << name << ": " << status.error_message();
    if (!id.empty()) made_.push_back(id);
    return id;
  }
  cri::Image ImageStatus(const std::string& name) {
    cri::ImageStatusRequest request;
    request.mutable_image()->set_image(name);
    cri::ImageStatusResponse response;
    EXPECT_TRUE(images_->ImageStatus(Within(absl::Seconds(20)).get(), request, &response).ok());
    return response.image();
  }
  void RemoveImage(const std::string& name) {
    cri::RemoveImageRequest request;
    request.mutable_image()->set_image(name);
    cri::RemoveImageResponse response;
    EXPECT_TRUE(images_->RemoveImage(Within(absl::Seconds(20)).get(), request, &response).ok());
  }
  std::vector<std::string> Names(const std::string& directory) {
    absl::StatusOr<std::vector<std::string>> names =
        os::ListDir(AT_FDCWD, absl::StrCat(daemon().data_dir(), "/", directory));
    return names.ok() ? *names : std::vector<std::string>{};
  }
  bool HasWorker() {
    return !RunProgram({"pgrep", "-P", absl::StrCat(daemon().pid()), "berth-image"}).out.empty();
  }

  static std::unique_ptr<Registry> registry_;
  static std::string registry_dir_;
  std::vector<std::string> made_;
};
std::unique_ptr<Registry> Pull::registry_;
std::string Pull::registry_dir_;

TEST_F(Pull, EveryFormAndPackingGivesTheSameImage) {
  const struct {
    Form form;
    Packing packing;
  } cases[] = {{Form::kOciManifest, Packing::kGzip},    {Form::kOciManifest, Packing::kZstd},
               {Form::kOciManifest, Packing::kPlain},   {Form::kOciIndex, Packing::kZstd},
               {Form::kDockerManifest, Packing::kGzip}, {Form::kDockerList, Packing::kGzip}};
  for (const auto& c : cases) {
    const Registry::Pushed pushed = registry().Push("forms:1", SmallImage(), c.form, c.packing);
    const std::string id = PullIt(Name("forms:1"));
    EXPECT_EQ(id, pushed.id);
    const cri::Image image = ImageStatus(Name("forms:1"));
    EXPECT_EQ(image.id(), id);
    EXPECT_THAT(image.repo_tags(), ElementsAre(Name("forms:1")));
    EXPECT_THAT(image.repo_digests(), ElementsAre(Name("forms@" + pushed.digest)));
    EXPECT_EQ(image.uid().value(), 1002);
    EXPECT_EQ(ImageStatus(Name("forms@" + pushed.digest)).id(), id);
    EXPECT_EQ(ImageStatus(Name("forms:1@" + pushed.digest)).id(), id);
    RemoveImage(id);
  }
}

TEST_F(Pull, ADigestReferenceGivesNoTag) {
  const Registry::Pushed pushed = registry().Push("digest:1", SmallImage());
  PullIt(Name("digest:1@" + pushed.digest));
  const cri::Image image = ImageStatus(Name("digest@" + pushed.digest));
  EXPECT_THAT(image.repo_tags(), IsEmpty());
  EXPECT_THAT(image.repo_digests(), ElementsAre(Name("digest@" + pushed.digest)));
}

TEST_F(Pull, ATagMovesAndUnchangedLayersAreNotFetchedAgain) {
  const Registry::Pushed one = registry().Push("moves:1", SmallImage("one"));
  const std::string first = PullIt(Name("moves:1"));
  EXPECT_EQ(PullIt(Name("moves:1")), first);
  const std::string base = absl::StrCat("GET /v2/moves/blobs/", one.layers[0]);
  EXPECT_EQ(registry().CountRequests(base), 1u);
  EXPECT_EQ(registry().CountRequests(absl::StrCat("GET /v2/moves/blobs/", one.layers[1])), 1u);
  registry().Push("moves:1", SmallImage("two"));
  const std::string second = PullIt(Name("moves:1"));
  EXPECT_NE(first, second);
  EXPECT_EQ(registry().CountRequests(base), 1u);
  EXPECT_EQ(ImageStatus(Name("moves:1")).id(), second);
  EXPECT_THAT(ImageStatus(first).repo_tags(), IsEmpty());
  EXPECT_THAT(ImageStatus(first).repo_digests(), ElementsAre(Name("moves@" + one.digest)));
}

TEST_F(Pull, TwoAtOnceAreOneDownload) {
  const Registry::Pushed pushed = registry().Push("twice:1", SmallImage("twice"));
  registry().Pause();
  std::vector<std::thread> threads;
  std::string ids[2];
  for (std::string& id : ids) {
    threads.emplace_back([&] {
      const grpc::Status status = TryPull(Name("twice:1"), &id);
      EXPECT_TRUE(status.ok()) << status.error_message();
    });
  }
  EXPECT_TRUE(Eventually(
      [&] {
        return absl::StrContains(daemon().Ctl({"metrics"}).out, "berth_pool_threads") &&
               absl::StrContains(daemon().Ctl({"state"}).out, "2 callers");
      },
      absl::Seconds(20)));
  registry().Resume();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ids[0], pushed.id);
  EXPECT_EQ(ids[1], pushed.id);
  made_.push_back(ids[0]);
  EXPECT_EQ(registry().CountRequests(absl::StrCat("GET /v2/twice/blobs/", pushed.layers[0])), 1u);
  EXPECT_EQ(registry().CountRequests("GET /v2/twice/manifests/"), 1u);
}

TEST_F(Pull, WhatIsNotThereIsNotFound) {
  registry().Push("there:1", SmallImage());
  EXPECT_EQ(TryPull(Name("there:2")).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(TryPull(Name("nowhere:1")).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(Pull, BadRequestsAreInvalid) {
  EXPECT_EQ(TryPull("").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(TryPull(Name("UPPER:1")).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  cri::PullImageRequest request;
  request.mutable_image()->set_image(Name("app:1"));
  request.mutable_image()->set_runtime_handler("runsc");
  cri::PullImageResponse response;
  EXPECT_THAT(images_->PullImage(Within(absl::Seconds(20)).get(), request, &response),
              StatusIs(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr("runsc")));
}

TEST_F(Pull, ARegistryThatIsNotThereIsToldInKubeletsWord) {
  const absl::Time began = absl::Now();
  EXPECT_THAT(TryPull("127.0.0.1:1/app:1"),
              StatusIs(grpc::StatusCode::UNKNOWN, StartsWith("RegistryUnavailable: ")));
  EXPECT_LT(absl::Now() - began, absl::Seconds(20));
}

TEST_F(Pull, ALyingRegistryLeavesNothing) {
  test::TestImage image = SmallImage();
  image.layers[1] = test::MakeTar({test::File("noise", Noise(1 << 20))});
  const Registry::Pushed plain =
      registry().Push("liar:plain", image, Form::kOciManifest, Packing::kPlain);
  registry().Corrupt(plain.layers[1]);
  EXPECT_THAT(TryPull(Name("liar:plain")).error_message(),
              ::testing::AllOf(HasSubstr(plain.layers[1]), HasSubstr("digest does not match")));
  // Here it may be the unpacking that sees it first.
  const Registry::Pushed packed = registry().Push("liar:gzip", SmallImage("the truth"));
  registry().Corrupt(packed.layers[1]);
  const grpc::Status status = TryPull(Name("liar:gzip"));
  EXPECT_THAT(status.error_code(),
              ::testing::AnyOf(grpc::StatusCode::DATA_LOSS, grpc::StatusCode::INVALID_ARGUMENT));
  EXPECT_THAT(status.error_message(), HasSubstr(packed.layers[1]));
  EXPECT_THAT(Names("staging"), IsEmpty());
  EXPECT_EQ(ImageStatus(Name("liar:plain")).id(), "");
  EXPECT_EQ(ImageStatus(Name("liar:gzip")).id(), "");
}

TEST_F(Pull, ADeadlineIsDeadlineExceeded) {
  registry().Push("hurry:1", SmallImage());
  EXPECT_EQ(TryPull(Name("hurry:1"), nullptr, {}, absl::Milliseconds(1)).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  // Should the pull have been faster than that.
  made_.push_back(Name("hurry:1"));
}

TEST_F(Pull, ACancelledPullLeavesNothing) {
  test::TestImage image;
  image.layers = {test::MakeTar({test::File("noise", Noise(64 << 20))})};
  registry().Push("cancel:1", image, Form::kOciManifest, Packing::kPlain);
  grpc::ClientContext context;
  grpc::Status status;
  std::thread thread([&] {
    cri::PullImageRequest request;
    request.mutable_image()->set_image(Name("cancel:1"));
    cri::PullImageResponse response;
    status = images_->PullImage(&context, request, &response);
  });
  EXPECT_TRUE(Eventually([&] { return !Names("staging").empty(); }, absl::Seconds(20)));
  registry().Pause();
  context.TryCancel();
  thread.join();
  EXPECT_TRUE(
      Eventually([&] { return Names("staging").empty() && !HasWorker(); }, absl::Seconds(20)));
  registry().Resume();
  if (status.ok()) made_.push_back(Name("cancel:1"));  // it was faster than the test
}

TEST_F(Pull, AKillOfTheDaemonInAPullTakesTheWorkerAndLeavesNothing) {
  test::TestImage image;
  image.layers = {test::MakeTar({test::File("noise", Noise(64 << 20))})};
  registry().Push("killed:1", image, Form::kOciManifest, Packing::kPlain);
  std::thread thread([&] { (void)TryPull(Name("killed:1")); });  // it ends with the daemon
  EXPECT_TRUE(Eventually([&] { return !Names("staging").empty(); }, absl::Seconds(20)));
  registry().Pause();
  daemon().Kill9();
  thread.join();
  daemon().Start();
  Reconnect();
  EXPECT_TRUE(Eventually([&] { return Names("trash").empty() && Names("staging").empty(); },
                         absl::Seconds(20)));
  registry().Resume();
  made_.push_back(Name("killed:1"));
  // The leak check of the fixture looks for the worker.
}

TEST_F(Pull, CredentialsOpenTheRegistryAndAppearNowhere) {
  const std::string dir = absl::StrCat(registry_dir_, "-auth");
  {
    Registry locked({dir, true});
    const Registry::Pushed pushed = locked.Push("app:1", SmallImage("locked"));
    const std::string name = locked.address() + "/app:1";
    cri::AuthConfig auth;
    EXPECT_THAT(TryPull(name).error_code(), ::testing::AnyOf(grpc::StatusCode::UNAUTHENTICATED,
                                                             grpc::StatusCode::PERMISSION_DENIED));
    auth.set_username(Registry::kUser);
    auth.set_password("wrong-password");
    const grpc::Status wrong = TryPull(name, nullptr, auth);
    EXPECT_EQ(wrong.error_code(), grpc::StatusCode::UNAUTHENTICATED) << wrong.error_message();
    EXPECT_FALSE(absl::StrContains(wrong.error_message(), "wrong-password"));
    auth.set_password(Registry::kPassword);
    std::string id;
    const grpc::Status right = TryPull(name, &id, auth);
    EXPECT_TRUE(right.ok()) << right.error_message();
    EXPECT_EQ(id, pushed.id);
    cri::AuthConfig packed;
    packed.set_auth("YmVydGg6c2VjcmV0");  // berth:secret
    EXPECT_TRUE(TryPull(name, nullptr, packed).ok());
    EXPECT_FALSE(absl::StrContains(daemon().log(), "wrong-password"));
    EXPECT_FALSE(absl::StrContains(daemon().log(), packed.auth()));
    const Output ctl =
        daemon().Ctl({"image", "pull", "--creds",
                      absl::StrCat(Registry::kUser, ":", Registry::kPassword), name});
    EXPECT_EQ(ctl.exit_code, 0) << ctl.err;
    EXPECT_EQ(ctl.out, pushed.id + "\n");
    made_.push_back(id);
  }
  EXPECT_TRUE(os::RemoveTree(AT_FDCWD, dir).ok());
}

// How much of a file is in memory, by nobody's reading.
double Resident(const std::string& path) {
  absl::StatusOr<os::UniqueFd> file = os::Open(path, O_RDONLY);
  struct stat st;
  if (!file.ok() || fstat(file->get(), &st) != 0) return -1;
  const auto size = static_cast<size_t>(st.st_size);
  void* const map = mmap(nullptr, size, PROT_READ, MAP_SHARED, file->get(), 0);
  std::vector<unsigned char> pages((size + 4095) / 4096);
  if (map == MAP_FAILED || mincore(map, size, pages.data()) != 0) return -1;
  munmap(map, size);
  double resident = 0;
  for (const unsigned char page : pages) resident += page & 1;
  return resident / static_cast<double>(pages.size());
}

uint64_t InodeOf(const std::string& path) {
  struct stat st;
  return stat(path.c_str(), &st) == 0 ? st.st_ino : 0;
}

TEST_F(Pull, TwoPodsShareALayerOnDiskAndItsPagesInMemory) {
  absl::StatusOr<std::string> busybox = os::ReadFile("/bin/busybox", 16 << 20);
  if (!busybox.ok()) busybox = os::ReadFile("/usr/bin/busybox", 16 << 20);
  ASSERT_TRUE(busybox.ok()) << busybox.status();
  const std::string base =
      test::MakeTar({test::File("bin/busybox", *busybox, 0755), test::Symlink("bin/sh", "busybox"),
                     test::File("big", Noise(8 << 20))});
  test::TestImage a;
  a.layers = {base, test::MakeTar({test::File("which", "a")})};
  test::TestImage b;
  b.layers = {base, test::MakeTar({test::File("which", "b")})};
  registry().Push("share/a:1", a);
  registry().Push("share/b:1", b);
  const size_t before = Names("layers").size();
  PullIt(Name("share/a:1"));
  PullIt(Name("share/b:1"));
  EXPECT_EQ(Names("layers").size(), before + 3) << "one base and two tops";

  const std::string lower =
      absl::StrCat(daemon().data_dir(), "/layers/", test::Sha256Hex(base), "/big");
  const auto run = [&](const std::string& name) {
    cri::ContainerConfig config = ContainerConfig("sleep 1000");
    config.mutable_image()->set_image(Name(absl::StrCat("share/", name, ":1")));
    config.clear_command();
    for (const char* word : {"/bin/busybox", "sleep", "1000"}) config.add_command(word);
    const cri::PodSandboxConfig pod_config = PodConfig(name);
    const std::string pod = RunPod(pod_config);
    std::string id = Create(pod, config);
    Start(id);
    return id;
  };
  const auto shell = [&](const std::string& id, const std::string& script) {
    cri::ExecSyncResponse response;
    EXPECT_TRUE(TryExec(id, {"/bin/busybox", "sh", "-c", script}, 30, &response).ok());
    return response.stdout();
  };
  const std::string one = run("a");
  const std::string two = run("b");
  {
    // Out of memory, to see who brings it in.
    absl::StatusOr<os::UniqueFd> file = os::Open(lower, O_RDONLY);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_EQ(posix_fadvise(file->get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  }
  EXPECT_LT(Resident(lower), 0.1);
  EXPECT_EQ(shell(one, "busybox stat -c %i /big; busybox cat /big | busybox wc -c"),
            absl::StrCat(InodeOf(lower), "\n", 8 << 20, "\n"));
  EXPECT_EQ(Resident(lower), 1.0) << "the first container read it through the shared file";
  // The second one reads the same inode without reading the disk.
  const std::string second = shell(two,
                                   "busybox stat -c %i /big; busybox md5sum /big > /dev/null; "
                                   "busybox grep ^read_bytes /proc/$$/io");
  EXPECT_TRUE(absl::StartsWith(second, absl::StrCat(InodeOf(lower), "\n"))) << second;
  const std::vector<std::string> words = absl::StrSplit(second, absl::ByAnyChar(" \n"));
  EXPECT_LT(std::stoull(words[2]), 1u << 20) << second;
}

class PullByMirror : public ::testing::Test {};

TEST_F(PullByMirror, AMirrorServesAndTheNameStaysAsGiven) {
  const std::string dir = absl::StrCat("/tmp/berth-test-", getpid(), "-mirror");
  {
    Registry mirror({dir + "/registry"});
    const Registry::Pushed pushed = mirror.Push("team/app:1", SmallImage("mirrored"));
    ASSERT_TRUE(os::MakeDirs(dir + "/hosts/registry.example", 0755).ok());
    absl::StatusOr<os::UniqueFd> file =
        os::Open(dir + "/hosts/registry.example/hosts.toml", O_WRONLY | O_CREAT, 0644);
    ASSERT_TRUE(file.ok() &&
                os::WriteAll(file->get(), absl::StrCat("server = \"https://registry.example\"\n",
                                                       "[host.\"", mirror.url(),
                                                       "\"]\ncapabilities = [\"pull\", "
                                                       "\"resolve\"]\n"))
                    .ok());
    Daemon::Options options;
    options.extra_args = {"--registry-hosts-dir", dir + "/hosts"};
    options.with_busybox = false;
    Daemon daemon(options);
    daemon.Start();
    const Output pulled = daemon.Ctl({"image", "pull", "registry.example/team/app:1"});
    EXPECT_EQ(pulled.exit_code, 0) << pulled.err;
    EXPECT_EQ(pulled.out, pushed.id + "\n");
    EXPECT_THAT(daemon.Ctl({"image", "ls"}).out, HasSubstr("registry.example/team/app:1"));
  }
  EXPECT_TRUE(os::RemoveTree(AT_FDCWD, dir).ok());
}

}  // namespace
}  // namespace berth::testing
