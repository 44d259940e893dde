/// What libzmq calls `zmq_fd_t`: a file descriptor.
pub type RawFd = std::os::fd::RawFd;
