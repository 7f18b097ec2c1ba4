#include "shim/child/time_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "shim/child/report.h"

namespace berth::shim::child {

int OpenTimeOffsets(const SetupPlan& setup, int report_fd) {
  if (setup.time_offsets == 0) return -1;
  const int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
  if (fd < 0) Fail(report_fd, kStepTimeOffsets, errno, "/proc/self/timens_offsets");
  return fd;
}

void MakeTimeNamespace(const SetupPlan& setup, int offsets_fd, int report_fd) {
  if (unshare(CLONE_NEWTIME) != 0) Fail(report_fd, kStepNamespaces, errno, "new time namespace");
  if (offsets_fd < 0) return;
  const char* text = PlanReader(&setup).TextAt(setup.time_offsets);
  // The kernel takes all lines in one write.
  if (write(offsets_fd, text, strlen(text)) < 0) Fail(report_fd, kStepTimeOffsets, errno, text);
  close(offsets_fd);
}

void EnterTimeNamespace(int report_fd) {
  const int fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWTIME) != 0) {
    Fail(report_fd, kStepNamespaces, errno, "enter time namespace");
  }
  close(fd);
}

}  // namespace berth::shim::child
