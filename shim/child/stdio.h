// The child's descriptors before exec: 0, 1, 2, and two of our own that close themselves.
// Part of shim/child.
#pragma once

namespace berth::shim::child {

struct StdioSources {
  int terminal;  // -1: none. Else it is all three, and those below are not looked at
  int in;        // -1: /dev/null of the root
  int out;
  int err;
  int root;  // where /dev/null is looked up
  int report;
  int gate;           // -1 = none
  int state = -1;     // a file of ours that stays until exec; -1 = none
  int preserved = 0;  // descriptors from 3 on that stay where they are
};

struct ChildFds {
  int report;
  int gate;
  int state;
};

// Moves everything to its place and closes all else, so that no descriptor of the host reaches the
// container. Ends the process on failure.
ChildFds ArrangeFds(const StdioSources& sources);

}  // namespace berth::shim::child
