// The terminal of a process: a pty of the container's own devpts. The process keeps the slave, and
// the master goes to whoever holds the other end of a socket. Part of shim/child: every function
// ends the process through Fail() when a step fails.
//
// Nothing is opened by a name that the image or a process in the container could have put there:
// the multiplexer is taken from a directory that is known to be a devpts, the slave from its
// master, and the slave's own mount is what /dev/console gets (CVE-2025-52565).
#pragma once

#include <stdint.h>

namespace berth::shim::child {

struct TerminalRequest {
  int socket = -1;  // -1: no terminal. Else its peer is sent the master, SCM_RIGHTS beside a name
  uint16_t rows = 0;
  uint16_t columns = 0;  // both 0: as the kernel makes it
};

// Makes the pty in the devpts at /dev/pts below the root, with `owner` as the slave's uid, and
// sends the master out. The value: the slave, close-on-exec, nobody's controlling terminal yet.
int OpenTerminal(int root_fd, const TerminalRequest& request, uint32_t owner, int report_fd);

// The slave onto /dev/console, which is made if it is missing (config-linux.md, "Default Devices").
// Before the pivot: the slave's mount and the root are in this mount namespace.
void BindConsole(int root_fd, int slave_fd, int report_fd);

// File descriptor 0 becomes the controlling terminal of this session, which the process leads.
void TakeTerminal(int report_fd);

}  // namespace berth::shim::child
