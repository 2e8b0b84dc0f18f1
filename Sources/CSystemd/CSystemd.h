// What TopGun uses of libsystemd: telling the service manager how the process does.
#include <systemd/sd-daemon.h>
