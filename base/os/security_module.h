// Which Linux security modules with labels are in force on this host. Asked through /proc alone, so
// that it works in a mount namespace without /sys. Thread-safe: no state.
#pragma once

namespace berth::os {

bool AppArmorIsOn();
bool SelinuxIsOn();

}  // namespace berth::os
