/* The floor: what it costs to move the same datagrams and nothing else.
 *
 * usage: relay CALLEE_PORT PORT...
 *
 * Each PORT is a socket on 127.0.0.1 with one caller in front of it. What comes from 127.0.0.1:CALLEE_PORT goes to the
 * address that last sent to that socket; everything else goes to the callee. No parsing, no allocation per datagram.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { MOST_SOCKETS = 8, BATCH = 64, BUFFER_BYTES = 4 << 20 };

struct path {
    int fd;
    struct sockaddr_in caller;
};

static int listen_on(int port) {
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int size = BUFFER_BYTES;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof local) < 0) {
        perror("relay");
        exit(1);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return fd;
}

static void forward_all(struct path *path, const struct sockaddr_in *callee) {
    static char datagram[65536];
    struct sockaddr_in source;
    const struct sockaddr_in *target;

    for (;;) {
        socklen_t length = sizeof source;
        ssize_t size = recvfrom(path->fd, datagram, sizeof datagram, 0, (struct sockaddr *)&source, &length);
        if (size < 0)
            return;
        if (source.sin_port == callee->sin_port) {
            target = &path->caller;
        } else {
            path->caller = source;
            target = callee;
        }
        sendto(path->fd, datagram, (size_t)size, 0, (const struct sockaddr *)target, sizeof *target);
    }
}

int main(int argc, char **argv) {
    struct sockaddr_in callee = {.sin_family = AF_INET};
    struct path paths[MOST_SOCKETS] = {0};
    struct epoll_event events[BATCH];
    int poll = epoll_create1(0);

    if (argc < 3 || argc - 2 > MOST_SOCKETS) {
        fprintf(stderr, "usage: relay CALLEE_PORT PORT...\n");
        return 2;
    }
    callee.sin_port = htons((unsigned short)atoi(argv[1]));
    callee.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < argc - 2; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &paths[i]};
        paths[i].fd = listen_on(atoi(argv[i + 2]));
        epoll_ctl(poll, EPOLL_CTL_ADD, paths[i].fd, &event);
    }
    for (;;) {
        int ready = epoll_wait(poll, events, BATCH, -1);
        for (int i = 0; i < ready; i++)
            forward_all(events[i].data.ptr, &callee);
    }
}
