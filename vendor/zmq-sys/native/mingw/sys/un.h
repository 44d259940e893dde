/* As sys/socket.h. */
#include <winsock2.h>
#include <afunix.h>
