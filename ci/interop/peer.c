/* One side of an interoperability run over the system's libzmq:
   peer push|pull ENDPOINT COUNT single|multi
   Calls the endpoint, or listens at it after an '@'; the messages are those of src/messages.rs. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static unsigned crc (const unsigned char *bytes, size_t size)
{
    unsigned sum = ~0u;
    for (size_t at = 0; at < size; at++) {
        sum ^= bytes[at];
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (0xedb88320u & -(sum & 1));
    }
    return ~sum;
}

/* Head and body, one after the other; the size of both. */
static size_t make (unsigned n, unsigned char *to)
{
    size_t size = n % 1000 == 999 ? 20000 : n % 97;
    for (size_t at = 0; at < size; at++)
        to[16 + at] = (unsigned char) (n + at);
    char head[17];
    snprintf (head, sizeof head, "%08x%08x", n, crc (to + 16, size));
    memcpy (to, head, 16);
    return 16 + size;
}

static void must (int yes, const char *what, unsigned n)
{
    if (!yes) {
        fprintf (stderr, "%s, message %u: %s\n", what, n, zmq_strerror (zmq_errno ()));
        exit (1);
    }
}

int main (int argc, char **argv)
{
    must (argc == 5, "push|pull ENDPOINT COUNT SHAPE", 0);
    int push = !strcmp (argv[1], "push"), multi = !strcmp (argv[4], "multi");
    unsigned count = (unsigned) atoi (argv[3]);
    void *context = zmq_ctx_new ();
    void *socket = zmq_socket (context, push ? ZMQ_PUSH : ZMQ_PULL);
    int patience = 30000;
    zmq_setsockopt (socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    if (*argv[2] == '@')
        must (!zmq_bind (socket, argv[2] + 1), "bind", 0);
    else
        must (!zmq_connect (socket, argv[2]), "connect", 0);
    static unsigned char made[20016], got[3][20017];
    for (unsigned n = 0; n < count; n++) {
        size_t size = make (n, made);
        if (push && multi) {
            must (zmq_send (socket, made, 16, ZMQ_SNDMORE) >= 0, "head", n);
            must (zmq_send (socket, made + 16, size - 16, ZMQ_SNDMORE) >= 0, "body", n);
            must (zmq_send (socket, "", 0, 0) == 0, "end", n);
        } else if (push) {
            must (zmq_send (socket, made, size, 0) >= 0, "send", n);
        } else {
            int sizes[3] = {0, 0, 0}, frames = 0, more = 1;
            size_t room = sizeof more;
            while (more && frames < 3) {
                sizes[frames] = zmq_recv (socket, got[frames], sizeof got[0], 0);
                must (sizes[frames] >= 0, "receive", n);
                frames++;
                zmq_getsockopt (socket, ZMQ_RCVMORE, &more, &room);
            }
            must (!more && frames == (multi ? 3 : 1), "frames", n);
            if (multi)
                must (sizes[0] == 16 && sizes[1] == (int) size - 16 && sizes[2] == 0
                        && !memcmp (got[0], made, 16)
                        && !memcmp (got[1], made + 16, size - 16),
                      "not as it was sent", n);
            else
                must (sizes[0] == (int) size && !memcmp (got[0], made, size),
                      "not as it was sent", n);
        }
    }
    zmq_close (socket);
    zmq_ctx_term (context);
    if (!push)
        printf ("%u ok\n", count);
    return 0;
}
