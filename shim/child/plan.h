// Plans: everything that a child needs between clone and exec, as flat buffers without pointers.
// Offsets count from the start of the buffer, so that a plan can be written to a file and mapped
// by another program of the same build.
//
//   ProcessPlan   who runs and what: also <run dir>/process.plan, from which StartExec works
//   SetupPlan     how the container around it is made; used once, never stored
//
// Built by shim/plan_builder.h in the parent, read with the functions below in the child. Plain
// data.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace berth::shim::child {

constexpr uint32_t kProcessMagic = 0x31507242;  // "BrP1"
constexpr uint32_t kSetupMagic = 0x31537242;    // "BrS1"
constexpr uint32_t kPlanVersion = 3;

// What a ChildFailure names. kReady is no failure: the first process stands at the gate.
enum ChildStep : uint32_t {
  kStepReady = 0,
  kStepCgroup,
  kStepNamespaces,
  kStepOomScore,
  kStepHostname,
  kStepRoot,
  kStepMount,
  kStepDevice,
  kStepSysctl,
  kStepRuntimeHooks,  // no failure either: it waits while the hooks of the runtime run
  kStepHook,
  kStepPivot,
  kStepMask,
  kStepReadonly,
  kStepStdio,
  kStepSession,
  kStepTerminal,
  kStepRlimit,
  kStepUser,
  kStepCapabilities,
  kStepNoNewPrivs,
  kStepSeccomp,
  kStepListener,  // no failure when a child says it: `error` is the listener's descriptor in it
  kStepCwd,
  kStepGate,
  kStepExec,
  kStepLabel,
  kStepScheduler,
  kStepIoPriority,
  kStepAffinity,
  kStepMemoryPolicy,
  kStepPersonality,
  kStepDomainname,
  kStepTimeOffsets,
  kStepCount,
};

using Text = uint32_t;  // offset of NUL-terminated bytes; 0 = none

struct Span {  // `count` elements at `offset`
  uint32_t offset;
  uint32_t count;
};

struct RlimitEntry {
  uint32_t resource;
  uint32_t unused;
  uint64_t soft;
  uint64_t hard;
};

// The kernel's struct sched_attr (sched_setattr(2)).
struct SchedulerEntry {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;  // ns, as the next two
  uint64_t deadline;
  uint64_t period;
  uint32_t clamp_min;
  uint32_t clamp_max;
};

constexpr uint32_t kUnchanged = 0xffffffff;

enum ProcessFlag : uint32_t {
  kNoNewPrivs = 1,
  kPrivatePidNamespace = 2,
  kUserNamespace = 4,  // ids below are those of a user namespace that is not the shim's
  kSameKeyring = 8,    // the session keyring of who made it stays
};

struct ProcessPlan {
  uint32_t magic;
  uint32_t version;
  uint32_t size;        // of the whole buffer
  uint32_t flags;       // ProcessFlag
  uint64_t namespaces;  // CLONE_NEW*: those that the container does not share with its shim
  uint32_t uid;
  uint32_t gid;
  uint32_t umask;
  int32_t oom_score_adj;
  uint32_t stdio_owner;    // uid, as the host counts
  uint32_t seccomp_flags;  // SECCOMP_FILTER_FLAG_*
  uint32_t personality;    // personality(2); kUnchanged
  uint32_t unused;
  Span groups;   // uint32_t
  Span rlimits;  // RlimitEntry
  Span args;     // Text
  Span env;      // Text, "KEY=value"
  Text cwd;
  Text search_path;   // the value of PATH
  uint64_t bounding;  // capability masks: bit = number
  uint64_t effective;
  uint64_t permitted;
  uint64_t inheritable;
  uint64_t ambient;
  Span seccomp;                // struct sock_filter; count 0 = no filter
  Text listener_path;          // absolute: the agent's socket
  Text exec_state;             // of ListenerHandover, for an exec
  Span scheduler;              // SchedulerEntry, none or one
  uint32_t io_priority;        // ioprio_set(2); kUnchanged
  uint32_t memory_policy;      // mode and flags of set_mempolicy(2); kUnchanged
  Span memory_nodes;           // uint64_t: a bit mask
  Span exec_affinity_initial;  // uint64_t: a bit mask of CPUs; count 0 = unchanged
  Span exec_affinity_final;
  Text apparmor;  // what is written into attr/apparmor/exec; 0 = nothing
  Text selinux;   // the label for attr/exec and attr/keycreate; 0 = nothing
};

enum MountFlag : uint32_t {
  kTargetIsFile = 1,
  kNoSymlinks = 2,     // no part of the destination may be a symbolic link (proc, sysfs)
  kReadonlyAtEnd = 4,  // made read-only once everything below it is in place
  kRemount = 8,        // what is mounted at the destination is changed, nothing is mounted
  kReconfigure = 16,   // with kRemount: the file system too, by `options`
  kCopyUp = 32,        // the new file system begins with what the destination has in it
  kCopyMode = 64,      // with kCopyUp: and with its owner and mode
};

struct MountPlan {
  int32_t tree_fd;  // detached mount that was handed in; -1: a new file system
  uint32_t flags;   // MountFlag
  Text destination;
  Text fs_type;
  Span options;                   // Text pairs: key, value; value 0 = a flag
  uint64_t attributes;            // MOUNT_ATTR_* of a new file system, or set by kRemount
  uint64_t clear;                 // MOUNT_ATTR_* cleared by kRemount
  uint64_t attributes_recursive;  // the same for all mounts below too
  uint64_t clear_recursive;
  uint64_t propagation;  // MS_SHARED, ...; 0 = private
  uint64_t magic;        // f_type that must be seen at the destination in the end; 0 = any
};

struct DevicePlan {
  Text path;
  uint32_t mode;  // with S_IFCHR, S_IFBLK or S_IFIFO
  uint64_t device;
  uint32_t uid;
  uint32_t gid;
  int32_t node_fd;  // the host's node as a detached mount, to be bound; -1: to be made
  uint32_t unused;
};

struct TextPair {
  Text first;
  Text second;
};

struct JoinPlan {
  int32_t fd;
  uint32_t type;  // CLONE_NEW*
};

// config.md, "POSIX-platform Hooks".
struct HookPlan {
  Text name;  // "createContainer[0]"
  Text path;
  Span args;                 // Text
  Span env;                  // Text
  uint32_t timeout_seconds;  // 0 = none
  uint32_t unused;
};

struct SetupPlan {
  uint32_t magic;
  uint32_t version;
  uint32_t size;
  uint32_t new_cgroup_namespace;
  uint32_t new_time_namespace;
  Text time_offsets;    // for /proc/self/timens_offsets; 0 = none
  Span cgroup_v1;       // int32_t: directories, the child joins their `tasks`
  Span join;            // JoinPlan
  int32_t mount_ns_fd;  // a mount namespace to join; -1: a new one
  Text hostname;
  Text domainname;
  int32_t root_fd;   // the root as a detached mount
  Text root_target;  // a directory of the mount namespace that is copied: it goes there for
                     // pivot_root
  uint32_t root_readonly;
  int32_t user_fd;        // the user namespace that owns those to be made; -1: the shim's own
  int32_t pid_fd;         // with user_fd: a PID namespace to be born in; -1: a new one
  uint32_t bind_console;  // 1: a terminal is seen at /dev/console, too
  uint64_t root_propagation;
  Span mounts;              // MountPlan, in order
  Span devices;             // DevicePlan
  Span links;               // TextPair: path, target
  Span sysctls;             // TextPair: "sys/net/...", value
  uint32_t wait_for_hooks;  // 1: kStepRuntimeHooks, then a byte of the gate, before create_hooks
  Span create_hooks;        // HookPlan: createContainer, before the pivot
  Span start_hooks;         // HookPlan: startContainer, after the gate
  // Their standard input: head, the pid as the container sees it, tail.
  Text state_head;
  Text creating_tail;
  Text created_tail;
  Span masked;    // Text
  Span readonly;  // Text
};

// A plan as the child walks it. Elements are trusted: the parent built them.
class PlanReader {
 public:
  explicit PlanReader(const void* base) : base_(static_cast<const char*>(base)) {}
  const char* TextAt(Text text) const { return base_ + text; }
  template <typename T>
  const T* Elements(Span span) const {
    return reinterpret_cast<const T*>(base_ + span.offset);
  }

 private:
  const char* base_;
};

// nullptr when the buffer is not a plan of this build.
inline const ProcessPlan* AsProcessPlan(const void* buffer, size_t size) {
  const auto* plan = static_cast<const ProcessPlan*>(buffer);
  if (size < sizeof *plan || plan->magic != kProcessMagic || plan->version != kPlanVersion ||
      plan->size != size) {
    return nullptr;
  }
  return plan;
}

}  // namespace berth::shim::child
