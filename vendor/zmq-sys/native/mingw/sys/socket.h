/* libzmq looks for Unix sockets in this header with every compiler but Microsoft's. */
#include <winsock2.h>
#include <ws2tcpip.h>
